// <crowd-radio-group>: keeps one of its radio buttons checked, whatever their names; arrow keys move within it.
(function (crowd) {
  "use strict";
  const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

  class CrowdRadioGroup extends crowd.CrowdElement {
    static styles = ":host { display: block; }";

    build() {
      this.shadowRoot.append(crowd.h("slot"));
      this.setAttribute("role", "radiogroup");
      this.addEventListener("change", (event) => {
        if (event.target.checked) this.only(event.target);
      });
      // A script may check another button: the last one checked counts.
      new MutationObserver((records) => {
        const checked = records
          .map((record) => record.target)
          .filter((target) => target.checked)
          .pop();
        this.only(checked ?? this.buttons().find((button) => button.checked));
      }).observe(this, { attributes: true, attributeFilter: ["checked"], subtree: true });
      this.addEventListener("keydown", (event) => this.move(event));
      new MutationObserver(() => this.only(this.buttons().find((button) => button.checked))).observe(this, {
        childList: true,
        subtree: true,
      });
      // The buttons inside are upgraded after the group.
      customElements.whenDefined("crowd-radio-button").then(() => {
        this.only(this.buttons().findLast((button) => button.checked));
      });
    }

    buttons() {
      return [...this.querySelectorAll("crowd-radio-button")].filter((button) => button.built);
    }

    only(chosen) {
      const buttons = this.buttons();
      for (const button of buttons) {
        if (chosen && button !== chosen && button.checked) button.checked = false;
      }
      // One stop for the Tab key.
      const open = buttons.filter((button) => !button.isDisabled);
      const stop = open.includes(chosen) ? chosen : open[0];
      for (const button of buttons) button.box.tabIndex = button === stop ? 0 : -1;
    }

    move(event) {
      const step = STEPS[event.key];
      const open = this.buttons().filter((button) => !button.isDisabled);
      const at = open.indexOf(event.target.closest("crowd-radio-button"));
      if (!step || at < 0) return;
      event.preventDefault();
      const next = open[(at + step + open.length) % open.length];
      next.checked = true;
      this.only(next);
      next.focus();
      next.announce();
    }
  }

  crowd.define("crowd-radio-group", CrowdRadioGroup);
})(window.crowdElements);
