// Starts Swagger UI. Three comforts on top of it: signing in, refreshing and stepping up fill the token, every Execute sends a fresh
// Idempotency-Key, and If-Match is the last ETag seen for the object. A header the user typed herself is left alone.
window.onload = () => {
  const EXAMPLE_KEY = "try-it-out";
  const EXAMPLE_VERSION = '"1"';
  const etags = new Map();

  const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
  const SIGNS_IN = ["/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/step-up"];

  // The address of the object a request is about, up to and with its last id: an action belongs to the object before it.
  const objectOf = (url) => {
    const parts = new URL(url, window.location.href).pathname.split("/");
    const last = parts.findLastIndex((part) => ID.test(part));
    return last < 0 ? parts.join("/") : parts.slice(0, last + 1).join("/");
  };

  const header = (headers, name) => Object.keys(headers).find((key) => key.toLowerCase() === name);

  window.ui = SwaggerUIBundle({
    url: "/api-docs/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    filter: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    withCredentials: false,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
    layout: "StandaloneLayout",
    requestInterceptor: (request) => {
      const key = header(request.headers, "idempotency-key");
      if (key && request.headers[key] === EXAMPLE_KEY) request.headers[key] = crypto.randomUUID();
      const version = header(request.headers, "if-match");
      if (version && request.headers[version] === EXAMPLE_VERSION) {
        request.headers[version] = etags.get(objectOf(request.url)) ?? EXAMPLE_VERSION;
      }
      return request;
    },
    responseInterceptor: (response) => {
      const path = new URL(response.url, window.location.href).pathname;
      const etag = response.headers?.etag;
      if (etag) etags.set(response.headers.location ?? objectOf(path), etag);
      if (SIGNS_IN.includes(path) && response.ok) {
        const token = (response.body ?? JSON.parse(response.text)).access_token;
        window.ui.preauthorizeApiKey("bearer", token);
      }
      return response;
    },
  });
};
