//! Swagger UI, everything vendored, with an initializer of our own: signing in fills the token, each Execute gets a fresh
//! Idempotency-Key, If-Match comes from the last ETag seen for that object.

use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::document::document;

/// What a page of the UI may load: itself only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Mounts the UI and the document.
pub fn mount(services: &mut ServiceConfig) {
    services
        .route("/api-docs/openapi.json", web::get().to(openapi))
        .route("/swagger-ui", web::get().to(to_the_slash))
        .route("/swagger-ui/swagger-initializer.js", web::get().to(initializer))
        .service(
            web::scope("")
                .wrap(actix_web::middleware::DefaultHeaders::new().add((header::CONTENT_SECURITY_POLICY, POLICY)))
                .service(SwaggerUi::new("/swagger-ui/{_:.*}").config(Config::from("/api-docs/openapi.json"))),
        );
}

async fn openapi() -> impl Responder {
    HttpResponse::Ok().content_type("application/json; charset=utf-8").body(document().bytes.clone())
}

/// The only redirect we make: without the slash the page would look for its parts one folder too high.
async fn to_the_slash() -> impl Responder {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/swagger-ui/")).finish()
}

async fn initializer() -> impl Responder {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(include_str!("swagger-initializer.js"))
}
