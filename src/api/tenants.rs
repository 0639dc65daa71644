//! Which tenant a request is of.
//!
//! Each tenant has the whole of the routes over a state of its own, and this passes a request on to those of
//! its caller's tenant before any route is looked at. So no handler chooses between tenants, and what
//! it has in its hands leads to the data of one alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::header;
use axum::response::IntoResponse;
use tower::ServiceExt;

use super::identity::{Caller, Unknown};
use super::{AppState, Identity, router};

/// Who was found to be calling, in the extensions of a request that was passed on.
#[derive(Debug, Clone)]
pub struct Found(pub Result<Caller, Unknown>);

/// The whole service of all tenants; of the default one where there are no others.
pub fn router(default: AppState, others: &[AppState]) -> Router {
    let identity = default.identity.clone();
    let routes = router::router(default);
    if others.is_empty() {
        return routes;
    }
    let of_tenant = |state: &AppState| (state.tenant.clone(), router::router(state.clone()));
    let by_name: Arc<BTreeMap<String, Router>> = Arc::new(others.iter().map(of_tenant).collect());
    Router::new().fallback(move |mut request: Request| {
        let tenant = identify(&identity, &mut request);
        // Who is not known is refused by the default tenant's routes.
        let routes = tenant.and_then(|name| by_name.get(&name)).unwrap_or(&routes).clone();
        async move {
            match routes.oneshot(request).await {
                Ok(response) => response.into_response(),
                Err(never) => match never {},
            }
        }
    })
}

/// The tenant of who calls, who goes into the request's extensions: nobody is looked for twice.
fn identify(identity: &Identity, request: &mut Request) -> Option<String> {
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return None;
    }
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    // A certificate says nothing where there is a key or a token.
    let found = identity.caller(request.headers(), address, None);
    let tenant = found.as_ref().ok().map(|caller| caller.tenant.clone());
    request.extensions_mut().insert(Found(found));
    tenant
}
