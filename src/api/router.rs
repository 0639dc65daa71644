//! The routes and what lies around them.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ProblemDocument;
use super::middleware::{
    audit, deadline, headers, host, identity, intake, lingering, observe, request_id, trace_context,
};
use super::oip::error::OipError;
use super::{
    AppState, Problem, cases, cds, console, contract, dicom_web, docs, drift, embeddings, entities, explain,
    fhir, generate, health, images, interactions, items, models, notes, oip, recommendations, segment,
    undeclared, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "medserve",
        description = "Classifies medical images and clinical notes and recommends care, with calibrated answers. \
                       It is no medical device: no answer is a diagnosis."
    ),
    tags(
        (name = "images", description = "What does this image show?"),
        (name = "notes", description = "How urgent is this note, or where does it belong?"),
        (name = "cases", description = "Which earlier cases are like this one?"),
        (name = "embeddings", description = "Which texts mean the like?"),
        (name = "recommendations", description = "What suits this person?"),
        (name = "people and things", description = "Users, items and what happened between them"),
        (name = "electronic records", description = "FHIR R4 and CDS Hooks 2.0: at home in a hospital's record system"),
        (name = "DICOM", description = "DICOMweb: images are stored to be answered, and the results are searched for and retrieved"),
        (name = "models", description = "What is served"),
        (name = "open inference protocol", description = "The models, in the protocol other servers speak too"),
        (name = "operations", description = "Health and metrics"),
    ),
    components(schemas(ProblemDocument, OipError)),
)]
struct Base;

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(images::classify))
        .routes(routes!(explain::explain))
        .routes(routes!(segment::segment))
        .routes(routes!(generate::generate))
        .routes(routes!(notes::classify))
        .routes(routes!(entities::extract))
        .routes(routes!(cases::put, cases::get, cases::delete))
        .routes(routes!(cases::search))
        .routes(routes!(embeddings::create))
        .routes(routes!(recommendations::get))
        .routes(routes!(recommendations::neighbors))
        .routes(routes!(users::put, users::get, users::delete))
        .routes(routes!(items::put, items::get, items::delete))
        .routes(routes!(items::list))
        .routes(routes!(interactions::post))
        .routes(routes!(interactions::list, interactions::delete))
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(models::card))
        .routes(routes!(fhir::post))
        .routes(routes!(fhir::metadata))
        .routes(routes!(cds::discover))
        .routes(routes!(cds::call))
        .routes(routes!(cds::feedback))
        .routes(routes!(dicom_web::store::store, dicom_web::search::studies))
        .routes(routes!(dicom_web::store::store_of_study, dicom_web::retrieve::study))
        .routes(routes!(dicom_web::retrieve::metadata))
        .routes(routes!(dicom_web::retrieve::series_metadata))
        .routes(routes!(dicom_web::retrieve::instance_metadata))
        .routes(routes!(dicom_web::search::series))
        .routes(routes!(dicom_web::search::study_instances))
        .routes(routes!(dicom_web::retrieve::series))
        .routes(routes!(dicom_web::search::instances))
        .routes(routes!(dicom_web::retrieve::instance))
        .routes(routes!(models::plot))
        .routes(routes!(models::report))
        .routes(routes!(drift::get))
        .routes(routes!(oip::metadata::server))
        .routes(routes!(oip::metadata::live))
        .routes(routes!(oip::metadata::ready))
        .routes(routes!(oip::metadata::model))
        .routes(routes!(oip::metadata::model_version))
        .routes(routes!(oip::metadata::model_ready))
        .routes(routes!(oip::metadata::model_version_ready))
        .routes(routes!(oip::infer::model))
        .routes(routes!(oip::infer::model_version))
        .routes(routes!(super::audit::list))
        .routes(routes!(super::decision::get))
        .routes(routes!(oip::repository::index))
        .routes(routes!(oip::repository::load))
        .routes(routes!(oip::repository::unload))
        .routes(routes!(health::live))
        .routes(routes!(health::startup))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The contract as OpenAPI 3.1.
pub fn document() -> Document {
    let mut document = documented().into_openapi();
    contract::complete(&mut document);
    document
}

/// The whole service.
pub fn router(state: AppState) -> Router {
    let (routes, _) = documented().split_for_parts();
    surrounded(routes.merge(docs::routes()).merge(console::routes()), state)
}

/// What the listener for health alone answers.
pub fn health(state: AppState) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/startup", get(health::startup))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(unknown_path)
        .layer(from_fn_with_state(state.clone(), seen))
        .with_state(state)
}

/// The routes with what happens to every request, from the outside inwards.
///
/// The router boxes each layer that it is given, and a box among boxes is copied with all that is in
/// it, for every request and again at every layer. So it is given few of them, and what is ours among
/// them is functions that call each other.
fn surrounded(routes: Router<AppState>, state: AppState) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(state.clone(), seen))
        .option_layer(cors(&state.config.cors_origins))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), let_in))
        // A body's size was checked when it was taken in.
        .layer(DefaultBodyLimit::disable());
    routes.fallback(unknown_path).method_not_allowed_fallback(unknown_method).layer(layers).with_state(state)
}

/// What surrounds every answer, a panic's too: its trace, its id, its log line.
async fn seen(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let observed = |request| observe::layer(&state, request, |request| next.run(request));
    let named = |request| request_id::layer(request, observed);
    let mut response = trace_context::layer(&state, request, named).await;
    headers::add(&mut response, state.config.tls.is_some());
    response
}

/// What lies between a request and its handler. From where it is taken in, the rest may outlive its
/// client, and owns what it needs.
async fn let_in(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let shared = state.clone();
    let handled = |request| async move {
        match undeclared::refused(&request).or_else(|| fhir::refused(&request)) {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        }
    };
    let in_time = move |request| deadline::layer(request, handled);
    let audited = move |request| async move { audit::layer(&shared, request, in_time).await };
    let taken_in = |request| intake::layer(&state, request, audited);
    let identified = |request| identity::layer(&state, request, taken_in);
    let addressed = |request| host::layer(&state, request, identified);
    lingering::layer(request, addressed).await
}

/// Which web pages may read answers: none, unless configured.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let timeout = HeaderName::from_static("x-request-timeout");
    let cors = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            request_id::HEADER,
            timeout,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, request_id::HEADER]);
    Some(cors)
}

async fn unknown_path() -> Problem {
    Problem::not_found("there is nothing at this path; /docs lists what there is")
}

async fn unknown_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; /docs lists those it takes",
    )
}

/// The panic's own words are told to nobody, as they may hold parts of a request; the log has its place.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    metrics::counter!("medserve_panics_total").increment(1);
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Admission, Identity, Shared};
    use crate::config::{Config, Settings};
    use crate::store::AuditWriter;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use std::sync::Arc;
    use tower::ServiceExt;

    async fn failing() -> &'static str {
        panic!("Jane Doe has no date of birth")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_the_inside() {
        let config = Config::read(&Settings::default()).0;
        let state = AppState::new(Shared {
            tenant: String::new(),
            others: Default::default(),
            registry: Arc::default(),
            people: Arc::default(),
            cases: Arc::default(),
            identity: Arc::new(Identity::new(&config).unwrap()),
            rate: None,
            failures: Arc::new(crate::api::identity::failures()),
            audit: AuditWriter::new("", false, 0),
            audit_key: Default::default(),
            admission: Admission::new(config.max_in_flight, config.engines, config.max_body_bytes),
            config: Arc::new(config),
            metrics: None,
            spans: None,
        });
        // A path that everybody may ask for.
        let service = surrounded(Router::new().route("/v1/models", axum::routing::get(failing)), state);
        for _ in 0..2 {
            let request = Request::get("/v1/models")
                .header("host", "localhost")
                .header("x-request-id", "ward-7")
                .body(Body::empty());
            let response = service.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains("\"request_id\":\"ward-7\"") && !body.contains("Jane"), "{body}");
        }
    }
}
