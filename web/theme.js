// Light or dark, set before the first paint so that nothing flashes. A plain script for that reason: modules wait for the page.
"use strict";
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("medserve.theme");
    } catch {
      // Storage may be closed to pages; then the system decides.
    }
    const dark = chosen ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("medserve-theme", apply);
})();
