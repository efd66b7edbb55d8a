// The one seam between a form and whoever keeps the answers. docs/crowd-elements.md describes it for the portal.
(function (crowd) {
  "use strict";

  function send(target, message) {
    target.postMessage(message, crowd.settings.portalOrigin ?? "*");
  }

  // Resolves when the answer is kept; rejects with a sentence for the worker when it isn't.
  crowd.deliver = async function deliver(answer, url) {
    if (url) {
      let response;
      try {
        response = await fetch(url, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(answer),
        });
      } catch {
        throw new Error("Your answer could not be sent, because the server can't be reached. Try again in a moment.");
      }
      if (!response.ok) throw new Error(`Your answer was not accepted (${response.status}). Try again in a moment.`);
      return;
    }
    if (window.parent !== window) {
      send(window.parent, { type: "crowd-form-submit", answer });
      await new Promise((resolve, reject) => {
        // A portal that keeps quiet takes the page away itself; one that refuses says why, and the worker can go on.
        const listen = (event) => {
          if (event.source !== window.parent || !event.data) return;
          if (event.data.type !== "crowd-form-accepted" && event.data.type !== "crowd-form-rejected") return;
          window.removeEventListener("message", listen);
          if (event.data.type === "crowd-form-accepted") resolve();
          else reject(new Error(String(event.data.reason ?? "Your answer was not accepted. Try again.")));
        };
        window.addEventListener("message", listen);
      });
      return;
    }
    console.info("crowd-form: a preview, nothing is sent. The answer:", JSON.stringify(answer));
  };

  // The page's form; crowd-entity-annotation has its own in its shadow root.
  crowd.form = function form() {
    const widget = document.querySelector("crowd-entity-annotation");
    return document.querySelector("crowd-form") ?? widget?.shadowRoot?.querySelector("crowd-form") ?? null;
  };

  const REST = 1000; // ms without a change after which a draft is sent
  const BEAT = 5000; // ms between two signs of life

  // For a portal that keeps drafts (a worker goes on at another device) and counts time without pauses: it can't see
  // into a frame of another origin.
  let watched = false;
  let touched = false; // before the portal watched
  for (const type of ["input", "change"]) document.addEventListener(type, () => (touched = true));
  function watch() {
    if (watched) return;
    watched = true;
    let timer = null;
    const changed = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const form = crowd.form();
        if (form && !form.busy) send(window.parent, { type: "crowd-form-draft", answer: form.answer });
      }, REST);
    };
    for (const type of ["input", "change"]) document.addEventListener(type, changed);
    if (touched) changed();
    let last = -BEAT;
    const alive = () => {
      if (performance.now() - last < BEAT) return;
      last = performance.now();
      send(window.parent, { type: "crowd-activity" });
    };
    for (const type of ["pointerdown", "pointermove", "keydown", "scroll", "wheel"]) {
      window.addEventListener(type, alive, { capture: true, passive: true });
    }
  }

  // What the portal may ask of the page. Only the window that holds the frame is heard.
  crowd.listenToPortal = function listenToPortal() {
    if (window.parent === window) return;
    window.addEventListener("message", (event) => {
      if (event.source !== window.parent || !event.data) return;
      const form = crowd.form();
      const { type, answer, theme } = event.data;
      if (type === "crowd-form-request-submit") form?.requestSubmit();
      else if (type === "crowd-form-restore" && answer) form?.restore(answer);
      else if (type === "crowd-theme") crowd.applyTheme(theme);
      else if (type === "crowd-form-watch") watch();
    });
    send(window.parent, { type: "crowd-form-ready" });
  };
})(window.crowdElements);
