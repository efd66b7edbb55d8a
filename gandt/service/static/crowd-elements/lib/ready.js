// The last of the files: defines every element once the page is parsed, then says so.
(function (crowd) {
  "use strict";

  function start() {
    crowd.applyTheme();
    for (const [tag, cls] of crowd.registry) {
      if (customElements.get(tag)) continue; // the script was loaded twice
      cls.prepare?.();
      customElements.define(tag, cls);
    }
    // A task later, so that listeners which the template adds in DOMContentLoaded handlers hear it too.
    setTimeout(() => {
      crowd.ready = true;
      document.dispatchEvent(new Event("all-crowd-elements-ready", { bubbles: true }));
      crowd.listenToPortal();
    });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start, { once: true });
  else start();
})(window.crowdElements);
