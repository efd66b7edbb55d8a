// The last of the files: defines every element once the page is parsed, then says so.
(function (crowd) {
  "use strict";

  // An element that we don't have would be silently empty: better that the template's author reads so.
  function warnOfStrangers() {
    const strangers = [...document.querySelectorAll("*")].filter(
      ({ localName }) => localName.startsWith("crowd-") && !customElements.get(localName),
    );
    for (const element of strangers) {
      crowd.report(`<${element.localName}> is not one of gandt's crowd elements`);
      const alert = document.createElement("crowd-alert");
      alert.type = "error";
      alert.textContent = `This page uses <${element.localName}>, which is not available here.`;
      element.before(alert);
    }
  }

  function start() {
    crowd.applyTheme();
    for (const [tag, cls] of crowd.registry) {
      if (customElements.get(tag)) continue; // the script was loaded twice
      cls.prepare?.();
      customElements.define(tag, cls);
    }
    warnOfStrangers();
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
