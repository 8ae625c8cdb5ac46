// Shows a contract with Scalar, without any request to other servers. If Scalar could not be loaded, shows the plain page
// that browsers without scripts get.
(function () {
  const app = document.getElementById('app');
  if (!window.Scalar) {
    app.outerHTML = document.querySelector('noscript').textContent;
    return;
  }
  Scalar.createApiReference('#app', {
    url: app.dataset.url,
    telemetry: false,
    withDefaultFonts: false,
    showDeveloperTools: 'never',
    agent: { disabled: true },
    mcp: { disabled: true },
    hideClientButton: true,
    proxyUrl: '',
  });
})();
