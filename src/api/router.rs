//! The routes and what lies around them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use super::middleware::{audit, deadline, identity, intake, lingering, observe, request_id};
use super::{
    AppState, Problem, contract, health, images, interactions, items, models, notes, recommendations, users,
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
        (name = "recommendations", description = "What suits this person?"),
        (name = "people and things", description = "Users, items and what happened between them"),
        (name = "models", description = "What is served"),
        (name = "operations", description = "Health and metrics"),
    )
)]
struct Base;

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(images::classify))
        .routes(routes!(notes::classify))
        .routes(routes!(recommendations::get))
        .routes(routes!(recommendations::neighbors))
        .routes(routes!(users::put, users::get, users::delete))
        .routes(routes!(items::put, items::get, items::delete))
        .routes(routes!(items::list))
        .routes(routes!(interactions::post))
        .routes(routes!(interactions::list, interactions::delete))
        .routes(routes!(models::list))
        .routes(routes!(models::get))
        .routes(routes!(super::audit::list))
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
    let (routes, mut document) = documented().split_for_parts();
    contract::complete(&mut document);
    // No validator badge: it would call out of a closed network.
    let swagger = SwaggerConfig::default().validator_url("none");
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document).config(swagger))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // A body's size was checked when it was taken in.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(deadline::layer))
        .layer(from_fn_with_state(state.clone(), audit::layer))
        .layer(from_fn_with_state(state.clone(), intake::layer))
        .layer(from_fn_with_state(state.clone(), identity::layer))
        .layer(from_fn(lingering::layer))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors(&state.config.cors_origins))
        .layer(from_fn(observe::layer))
        .layer(from_fn(request_id::layer))
        .with_state(state)
}

/// Which web pages may read answers: none, unless configured.
fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let timeout = HeaderName::from_static("x-request-timeout");
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, request_id::HEADER, timeout])
        .expose_headers([request_id::HEADER, header::RETRY_AFTER])
}

async fn unknown_path() -> Problem {
    Problem::not_found("there is nothing at this path; /docs lists what there is")
}

async fn unknown_method() -> Problem {
    Problem::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; /docs lists those it takes",
    )
}

/// The panic's own words stay in the log, where they are written with the place: they may hold
/// parts of a request.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    metrics::counter!("medserve_panics_total").increment(1);
    Problem::internal().into_response()
}
