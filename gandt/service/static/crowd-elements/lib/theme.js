// Colours, spacing and the few rules that all elements share. Constructable style sheets, because a strict
// content security policy lets them through.
(function (crowd) {
  "use strict";

  crowd.sheet = function sheet(css) {
    const made = new CSSStyleSheet();
    made.replaceSync(css);
    return made;
  };

  // light-dark() follows the page's color-scheme. Every text has a contrast of 4.5 or more.
  const tokens = crowd.sheet(`
    :where(html) {
      --crowd-text: light-dark(#16191f, #e9ebed);
      --crowd-quiet: light-dark(#545b64, #a9b2bd);
      --crowd-surface: light-dark(#ffffff, #14191f);
      --crowd-raised: light-dark(#f4f5f6, #1f262e);
      --crowd-line: light-dark(#7d8998, #7d8998);
      --crowd-faint: light-dark(#d5dbdb, #3a4550);
      --crowd-accent: light-dark(#0a5fb4, #6db3f8);
      --crowd-on-accent: light-dark(#ffffff, #0b1a2b);
      --crowd-chosen: light-dark(#e3effb, #17304a);
      --crowd-error: light-dark(#b3160a, #ff8d80);
      --crowd-error-surface: light-dark(#fdf0ee, #3a1512);
      --crowd-warning: light-dark(#7a4a00, #f3c35e);
      --crowd-warning-surface: light-dark(#fff7e0, #35280a);
      --crowd-success: light-dark(#136c2e, #74d68b);
      --crowd-success-surface: light-dark(#edf8ef, #102e18);
      --crowd-info-surface: light-dark(#eef5fd, #12283f);
      --crowd-font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
      color-scheme: light dark;
    }
    :where(html.crowd-light) { color-scheme: light; }
    :where(html.crowd-dark) { color-scheme: dark; }
    :where(body) { font-family: var(--crowd-font); color: var(--crowd-text); background: var(--crowd-surface); }
    :where(crowd-form) { display: block; }
    :where(crowd-form crowd-button[form-action="submit"]) { margin-top: 0.75rem; }
    :where(crowd-form:not(:defined)) { visibility: hidden; }
    :where(short-instructions, full-instructions, classification-target, worker-comment) { display: block; }
    @media (max-width: 700px) { :where(crowd-form img, crowd-form video) { max-width: 100%; } }
  `);

  // Rules inside every shadow root.
  crowd.base = crowd.sheet(`
    :host { font-family: var(--crowd-font); color: var(--crowd-text); box-sizing: border-box; }
    :host([hidden]), [hidden] { display: none !important; }
    *, *::before, *::after { box-sizing: border-box; }
    button, input, textarea, select { font: inherit; color: inherit; }
    button { cursor: pointer; }
    button:disabled { cursor: default; }
    :focus-visible { outline: 3px solid var(--crowd-accent); outline-offset: 2px; }
    .error { color: var(--crowd-error); font-size: 0.875rem; margin: 0.25rem 0 0; }
    .unseen {
      position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; overflow: hidden;
      clip-path: inset(50%); white-space: nowrap; border: 0;
    }
    @media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
  `);

  // Templates were written for a white page. One that sets colours of its own and doesn't say that it knows dark ones
  // is shown light, or its text might vanish. data-theme="light" or "dark" on the script tag decides for itself.
  function knowsOnlyLight() {
    let colours = false;
    for (const sheet of document.styleSheets) {
      let rules;
      try {
        rules = [...sheet.cssRules];
      } catch {
        return true; // a style sheet from elsewhere: nobody can tell what it does
      }
      const css = rules.map((rule) => rule.cssText).join("\n");
      if (/color-scheme|light-dark\(/.test(css)) return false;
      colours ||= /(^|[\s;{])(color|background(-color)?)\s*:/.test(css);
    }
    return colours || document.querySelector("[style*='color'], [style*='background'], [bgcolor]") !== null;
  }

  crowd.applyTheme = function applyTheme(theme = crowd.settings.theme) {
    const root = document.documentElement.classList;
    root.toggle("crowd-dark", theme === "dark");
    root.toggle("crowd-light", theme === "light" || (theme !== "dark" && knowsOnlyLight()));
  };

  document.adoptedStyleSheets = [...document.adoptedStyleSheets, tokens];
})(window.crowdElements);
