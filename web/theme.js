// Light or dark, and the language, set before the first paint so that nothing flashes. A plain script for that reason:
// modules wait for the page.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      // Storage may be closed to pages; then system and browser decide.
      return null;
    }
  };
  const apply = () => {
    const chosen = stored("medserve.theme");
    root.dataset.theme = (chosen ? chosen === "dark" : system.matches) ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("medserve-theme", apply);
  // The menu of the page itself is in English: it is not shown to whoever reads another language.
  if ((stored("medserve.language") ?? navigator.language).toLowerCase().startsWith("zh")) root.lang = "zh-Hans";
})();
