// The window in front of the page that instructions, modals and comments open in.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  crowd.dialogSheet = crowd.sheet(`
    dialog {
      border: 1px solid var(--crowd-faint); border-radius: 0.5rem; padding: 0; width: 100%;
      max-width: min(46rem, 94vw);
      max-height: 90vh; background: var(--crowd-surface); color: var(--crowd-text); overflow: auto;
    }
    dialog::backdrop { background: rgb(0 0 0 / 0.5); }
    .dialog-head {
      position: sticky; top: 0; display: flex; align-items: center; justify-content: space-between; gap: 1rem;
      padding: 0.5rem 0.5rem 0.5rem 1.25rem; background: var(--crowd-raised);
      border-bottom: 1px solid var(--crowd-faint);
    }
    .dialog-head h2 { margin: 0; font-size: 1.125rem; }
    .dialog-body { padding: 1rem 1.25rem; overflow-wrap: break-word; }
    .dialog-body ::slotted(img) { max-width: 100%; }
    .close {
      border: 0; background: none; font-size: 1.5rem; line-height: 1; min-width: 2.75rem; min-height: 2.75rem;
      border-radius: 0.25rem;
    }
    .opener {
      border: 0; background: none; padding: 0.25rem 0; color: var(--crowd-accent); text-decoration: underline;
      text-align: left;
    }
    .opener.button {
      border: 1px solid var(--crowd-accent); border-radius: 0.375rem; min-height: 2.5rem; padding: 0.375rem 1.25rem;
      background: var(--crowd-surface); font-weight: 600; text-decoration: none;
    }
  `);

  // A <dialog> with a title, a close button and the given content; a click beside it closes it.
  crowd.dialog = function dialog(title, ...content) {
    const id = crowd.uid("dialog-title");
    const heading = h("h2", { id }, title);
    const close = h(
      "button",
      { type: "button", class: "close", "aria-label": "Close", onclick: () => element.close() },
      "×",
    );
    const element = h(
      "dialog",
      { class: "awsui-modal-dialog", "aria-labelledby": id },
      h("div", { class: "dialog-head" }, heading, close),
      h("div", { class: "dialog-body" }, ...content),
    );
    element.addEventListener("click", (event) => {
      if (event.target === element) element.close();
    });
    element.setTitle = (text) => (heading.textContent = text);
    return element;
  };
})(window.crowdElements);
