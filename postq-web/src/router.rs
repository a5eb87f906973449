//! Putting the router together: routes and what the document says of them come from one place.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use utoipa::openapi::HttpMethod;
use utoipa_axum::PathItemExt;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::api::{notifications, session};
use crate::events::Hub;
use crate::guard::access::{Gate, Tell};
use crate::guard::limit::Limits;
use crate::guard::{access, correlation, headers, measure, once, origin, time};
use crate::health::Readiness;
use crate::metrics::Scrape;
use crate::problem::{Code, Problem};
use crate::reach::Reached;
use crate::tally::Counted;
use crate::web::{App, Shared, Web};
use crate::{api, dashboard, health, metrics, own_path};

/// One path: its handlers, and what the document says of them.
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) methods: MethodRouter<App>,
    /// Each method, and how it is told what it needs.
    pub(crate) needs: Vec<(HttpMethod, Tell)>,
    /// The same with all that the document says: a lot, and only made when somebody asks for it.
    pub(crate) documented: fn() -> UtoipaMethodRouter<App>,
}

impl Route {
    pub(crate) fn new(documented: fn() -> UtoipaMethodRouter<App>) -> Self {
        let (path, methods, needs) = (String::new(), MethodRouter::new(), Vec::new());
        Self { path, methods, needs, documented }
    }

    /// Adds a handler.
    pub(crate) fn with<H: Handler<T, App>, T: 'static>(
        mut self,
        path: String,
        methods: Vec<HttpMethod>,
        needs: Tell,
        handler: H,
    ) -> Self {
        self.path = path;
        for method in methods {
            self.methods = self.methods.on(method.to_method_filter(), handler.clone());
            self.needs.push((method, needs));
        }
        self
    }
}

/// A path with these handlers, by what `utoipa::path` says of them.
macro_rules! route {
    ($($handler:ident),+) => {
        $crate::router::Route::new(|| utoipa_axum::routes!($($handler),+))
        $(.with(
            <utoipa_axum::paste! { [<__path_ $handler>] } as utoipa::Path>::path(),
            <utoipa_axum::paste! { [<__path_ $handler>] } as utoipa::Path>::methods(),
            || $crate::guard::access::Needs::of(
                &<utoipa_axum::paste! { [<__path_ $handler>] } as utoipa::Path>::operation()
            ),
            $handler,
        ))+
    };
}
pub(crate) use route;

/// The API and the dashboard, to be served by [`serve`](crate::serve) or mounted in a router of your own.
///
/// A service that serves it by itself must tell it who asks (axum's
/// `into_make_service_with_connect_info`): without that, every request needs a token.
pub fn router(web: Web) -> Router {
    Assembly::of_all().finish(web)
}

/// What every node has, `/healthz`, `/readyz` and `/metrics`: for one that serves no API. The probes need
/// no token.
pub fn probes(web: Web) -> Router {
    let mut assembly = Assembly::default();
    of_every_node(&mut |route| assembly.add(route));
    assembly.finish(web)
}

/// Every route. What the document says of them is not kept: it is put together when somebody asks for
/// it, and costs nothing until then.
pub(crate) fn all(add: &mut dyn FnMut(Route)) {
    of_every_node(add);
    api::routes(add);
}

fn of_every_node(add: &mut dyn FnMut(Route)) {
    health::routes(add);
    metrics::routes(add);
}

/// Takes routes, and learns from their part of the document what they need.
#[derive(Default)]
struct Assembly {
    router: Router<App>,
    /// Open to everybody: the document does not know them.
    pages: Router<App>,
    gate: Gate,
}

impl Assembly {
    fn of_all() -> Self {
        let mut assembly = Self { pages: dashboard::routes(), ..Self::default() };
        all(&mut |route| assembly.add(route));
        assembly
    }

    fn add(&mut self, route: Route) {
        self.gate.learn(&route.path, &route.needs);
        self.router = std::mem::take(&mut self.router).route(&route.path, route.methods);
    }

    fn finish(self, web: Web) -> Router {
        let (settings, platforms) = (web.settings.clone(), web.engine.platforms().clone());
        let app: App = Arc::new(Shared {
            desk: web.engine.desk(),
            gate: self.gate,
            limits: Limits::new(
                Duration::from_secs(1) / settings.requests_per_second.get(),
                settings.burst,
            ),
            sign_ins: Limits::new(session::EVERY, session::AT_ONCE),
            tests: Limits::new(notifications::EVERY, notifications::AT_ONCE),
            hub: Hub::new(settings.most_streams),
            readiness: Readiness::default(),
            scrape: Scrape::default(),
            counted: Counted::default(),
            reached: Reached::default(),
            document: OnceLock::new(),
            web,
        });
        let router = self
            .router
            .fallback(no_such_path)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(settings.most_body))
            .layer(from_fn_with_state(Arc::clone(&app), once::layer))
            .layer(from_fn_with_state(Arc::clone(&app), access::layer))
            .merge(self.pages)
            .layer(from_fn_with_state(Arc::clone(&app), time::layer))
            .layer(from_fn_with_state(Arc::clone(&app), origin::layer))
            .layer(from_fn(headers::layer))
            .layer(from_fn(measure::layer))
            .layer(from_fn(correlation::layer))
            .with_state(app);
        own_path::led_to(router, &platforms)
    }
}

async fn no_such_path() -> Problem {
    Problem::new(Code::NoSuchPath, "there is nothing at this path")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "the path is there, the method is not")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Body;
    use axum::extract::ConnectInfo;
    use axum::http::Request;
    use axum::routing::get;
    use postq_core::clock::{Clock, SystemClock};
    use postq_core::memory::{MemoryBackend, MemoryIdempotency, MemoryTokens};
    use postq_engine::Engine;
    use tower::ServiceExt;

    use super::*;

    fn web() -> Web {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let engine = Engine::builder(backend).build().unwrap();
        let idempotency = Arc::new(MemoryIdempotency::new(clock));
        Web::new(engine, Arc::new(MemoryTokens::default()), idempotency)
    }

    async fn status(router: &Router, method: &str, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let mut request = request.body(Body::empty()).unwrap();
        let near: SocketAddr = "127.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(near));
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_route_that_is_not_in_the_document_is_refused() {
        let mut assembly = Assembly::of_all();
        assembly.router = assembly.router.route("/api/secret", get(|| async { "secret" }));

        let router = assembly.finish(web());

        assert_eq!(status(&router, "GET", "/api/secret").await, 500);
        assert_eq!(status(&router, "GET", "/api/about").await, 200);
    }

    #[tokio::test]
    async fn only_the_program_itself_is_let_in_without_asking() {
        let router = router(web());
        let ask = async |trusted: bool| {
            let mut request = Request::builder().uri("/api/tokens").header("host", "localhost");
            request = request.header("trusted", "true");
            let mut request = request.body(Body::empty()).unwrap();
            if trusted {
                request.extensions_mut().insert(crate::Trusted);
            }
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };

        assert_eq!((ask(true).await, ask(false).await), (200, 401));
    }

    #[tokio::test]
    async fn it_can_be_mounted_below_a_path() {
        let mounted = Router::new().nest("/below/here", router(web()));

        assert_eq!(status(&mounted, "GET", "/below/here/api/about").await, 200);
        assert_eq!(status(&mounted, "HEAD", "/below/here/api/posts").await, 200);
        assert_eq!(status(&mounted, "PUT", "/below/here/api/posts").await, 405);
        assert_eq!(status(&mounted, "GET", "/below/here/api/nothing").await, 404);
        assert_eq!(status(&mounted, "GET", "/below/here/healthz").await, 200);
    }
}
