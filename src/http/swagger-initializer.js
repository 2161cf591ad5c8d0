// Starts Swagger UI. Three comforts on top of it: the login operation fills the token, every Execute sends a fresh
// Idempotency-Key, and If-Match is the last ETag seen for the object. A header the user typed herself is left alone.
window.onload = () => {
  const EXAMPLE_KEY = "try-it-out";
  const EXAMPLE_VERSION = '"1"';
  const etags = new Map();

  // The address of the object a request is about: an action belongs to the object before it.
  const objectOf = (url) => {
    const path = new URL(url, window.location.href).pathname;
    const known = [...etags.keys()].find((key) => path === key || path.startsWith(key + "/"));
    return known ?? path;
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
      if (path === "/api/v1/auth/login" && response.ok) {
        const token = (response.body ?? JSON.parse(response.text)).access_token;
        window.ui.preauthorizeApiKey("bearer", token);
      }
      return response;
    },
  });
};
