//! The routes and what lies around them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use super::middleware::{deadline, lingering, observe, request_id, trace_context};
use super::{
    AppState, Problem, health, images, interactions, items, models, notes, oip, recommendations, users,
};

#[derive(OpenApi)]
#[openapi(
    modifiers(&AdminToken),
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
        (name = "open inference protocol", description = "The models, in the protocol other servers speak too"),
        (name = "operations", description = "Health and metrics"),
    )
)]
struct Base;

/// The administrator's token, as OpenAPI says it.
struct AdminToken;

impl Modify for AdminToken {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("admin", scheme);
    }
}

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
        .routes(routes!(oip::metadata::server))
        .routes(routes!(oip::metadata::live))
        .routes(routes!(oip::metadata::ready))
        .routes(routes!(oip::metadata::model))
        .routes(routes!(oip::metadata::model_version))
        .routes(routes!(oip::metadata::model_ready))
        .routes(routes!(oip::metadata::model_version_ready))
        .routes(routes!(oip::infer::model))
        .routes(routes!(oip::infer::model_version))
        .routes(routes!(oip::repository::index))
        .routes(routes!(oip::repository::load))
        .routes(routes!(oip::repository::unload))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The contract as OpenAPI 3.1.
pub fn document() -> Document {
    documented().into_openapi()
}

/// The whole service.
pub fn router(state: AppState) -> Router {
    let (routes, document) = documented().split_for_parts();
    // No validator badge: it would call out of a closed network.
    let swagger = SwaggerConfig::default().validator_url("none");
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document).config(swagger))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(state.config.max_body_bytes))
        .layer(from_fn_with_state(state.clone(), deadline::layer))
        .layer(from_fn(lingering::layer))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(observe::layer))
        .layer(from_fn(request_id::layer))
        .layer(from_fn(trace_context::layer))
        .with_state(state)
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
