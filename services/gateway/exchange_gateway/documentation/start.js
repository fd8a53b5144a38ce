// Addresses are relative to the page, so that it works behind a prefix too. No validator: it would ask another host.
SwaggerUIBundle({
  url: "api/v1/openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: false,
  validatorUrl: null,
});
