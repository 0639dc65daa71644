//! Building the network that a manifest describes: as it trains and is evaluated, and as it serves.

use std::sync::Arc;

use candle_core::{Result, bail};

use super::bag::Bag;
use super::encoder::Example;
use super::fields;
use super::lstm::LstmNetwork;
use super::plan::Plan;
use super::transformer::Transformer;
use model::manifest::{Architecture, RecordInput};
use nn::{Network, Params};

/// The network of `architecture` over records of `input`, with one output a label.
///
/// # Errors
/// Sizes that do not fit each other, or weights that do not fit the sizes.
pub fn build(
    architecture: &Architecture,
    input: &RecordInput,
    labels: usize,
    params: &mut Params,
) -> Result<Box<dyn Network<Vec<Example>>>> {
    let width = fields::width(&input.fields);
    match architecture {
        Architecture::Bag(config) => Ok(Box::new(Bag::new(config, &input.fields, labels, params)?)),
        Architecture::Lstm(config) => Ok(Box::new(LstmNetwork::new(config, width, labels, params)?)),
        Architecture::Transformer(config) => {
            Ok(Box::new(Transformer::new(config, input.max_tokens, width, labels, params)?))
        }
        other => bail!("the architecture \"{}\" does not read notes", other.as_str()),
    }
}

/// The same network ready to serve.
///
/// # Errors
/// As [`build`].
pub fn plan(
    architecture: &Architecture,
    input: &RecordInput,
    labels: usize,
    params: &mut Params,
) -> Result<Plan> {
    let width = fields::width(&input.fields);
    Ok(match architecture {
        Architecture::Bag(config) => Plan::Bag(Arc::new(Bag::new(config, &input.fields, labels, params)?)),
        Architecture::Lstm(config) => Plan::Lstm(LstmNetwork::new(config, width, labels, params)?.plan()?),
        Architecture::Transformer(config) => {
            let network = Transformer::new(config, input.max_tokens, width, labels, params)?;
            Plan::Transformer(network.plan()?)
        }
        other => bail!("the architecture \"{}\" does not read notes", other.as_str()),
    })
}
