//! What comes over the network and is no picture: HL7, DICOM's associations, and the bodies of our own API.

#![allow(dead_code)] // Each target uses one of them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use clinical::cds::feedback::Feedback;
use clinical::fhir::Bundle;
use clinical::hl7::{Accepted, Charset, Hl7Error, Message, acknowledged, acknowledgement, bundle, text};
use medserve::api::{cases, embeddings, entities, extract, generate, notes};
use medserve::dicom_net::{command, negotiation, pdu};
use medserve::hl7_net::frames;
use medserve::store::Case;
use recommend::{Interaction, Item, Profile, User};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::records::{NOW, settle};

/// Most bytes of a message, as the listeners have it.
const MOST: u32 = 1 << 18;

/// What a future of bytes that are all there has to say.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// HL7 messages in the frames of MLLP, and the same bytes as one message.
pub fn hl7(data: &[u8]) {
    let (mut stream, mut block) = (data, frames::Block::default());
    while let Some(Ok(true)) = now(frames::read(&mut stream, MOST as usize, &mut block)) {
        message_of(&block.message.take().unwrap_or_default());
    }
    message_of(data);
}

fn message_of(bytes: &[u8]) {
    let text =
        text(bytes, Charset::default()).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
    let message = Message::read(&text);
    if let Ok(message) = &message {
        let _ = acknowledged(message);
        if let Ok(bundle) = bundle(message, None)
            && let Ok(bundle) = Bundle::read(&bundle.to_string())
        {
            settle(&bundle);
        }
    }
    let error = Hl7Error::new("PID-3", 102, "what was wrong");
    let answer =
        acknowledgement(message.as_ref().ok(), Accepted::Error, std::slice::from_ref(&error), NOW, "1");
    // Whatever came, what goes back is a message.
    assert!(Message::read(&answer).is_ok_and(|answer| acknowledged(&answer).is_some()), "{answer:?}");
}

/// DICOM's network: one message of the upper layer after another. What was read is written, and read as the same.
pub fn pdu(data: &[u8]) {
    let mut stream = data;
    let mut said = Vec::new();
    while let Some(Ok(message)) = now(pdu::read(&mut stream, MOST)) {
        match &message {
            pdu::Pdu::Request(request) => {
                let titles = negotiation::Titles { own: &request.called, callers: &[] };
                let _ = negotiation::agree(request, &titles);
            }
            pdu::Pdu::Data(parts) => {
                for part in parts.iter().filter(|part| part.command) {
                    said.extend_from_slice(&part.bytes);
                    if part.last {
                        command_of(&std::mem::take(&mut said));
                    }
                }
            }
            _ => {}
        }
        let mut written = Vec::new();
        let _ = now(pdu::write(&mut written, &message));
        let again = now(pdu::read(&mut &written[..], u32::MAX));
        assert!(matches!(again, Some(Ok(_))), "{message:?} was written as {written:?}");
    }
    command_of(data);
}

fn command_of(bytes: &[u8]) {
    if let Some(command) = command::Command::read(bytes) {
        assert!(command::Command::read(&command.bytes()).is_some(), "{command:?}");
    }
}

/// A JSON body: a byte for which route it is sent to, then the body.
pub fn body(data: &[u8]) {
    let Some((&route, body)) = data.split_first() else { return };
    match route % 12 {
        0 => drop(read::<User>(body).map(|user| user.validate("", NOW))),
        1 => drop(read::<Profile>(body).map(|profile| profile.validate("", NOW))),
        2 => drop(read::<Item>(body).map(|item| item.validate(""))),
        3 => {
            for interaction in read::<Vec<Interaction>>(body).unwrap_or_default() {
                let _ = interaction.validate("/0", NOW);
            }
        }
        4 => drop(read::<Case>(body).map(|case| case.validate(""))),
        5 => drop(read::<cases::SearchRequest>(body)),
        6 => drop(read::<notes::NoteRequest>(body)),
        7 => drop(read::<entities::ExtractRequest>(body)),
        8 => drop(read::<embeddings::EmbeddingsRequest>(body)),
        9 => drop(read::<generate::GenerateRequest>(body)),
        10 => {
            if let Some(feedback) = read::<Feedback>(body) {
                let (_, _) = (feedback.problems(), feedback.lines());
            }
        }
        _ => drop(read::<Value>(body)),
    }
}

fn read<T: DeserializeOwned + Send + 'static>(body: &[u8]) -> Option<T> {
    let request = Request::new(Body::from(body.to_vec()));
    match now(extract::Body::<T>::from_request(request, &()))? {
        Ok(extract::Body(read)) => Some(read),
        Err(problem) => {
            assert!(problem.status.is_client_error(), "{problem:?}");
            None
        }
    }
}
