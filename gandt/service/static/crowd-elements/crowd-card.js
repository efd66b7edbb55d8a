// <crowd-card>: a raised box with a heading and an image.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class CrowdCard extends crowd.CrowdElement {
    static attributes = { heading: "string", image: "string" };
    static styles = `
      :host {
        display: inline-block; border: 1px solid var(--crowd-faint); border-radius: 0.375rem;
        background: var(--crowd-surface);
        box-shadow: 0 1px 4px rgb(0 0 0 / 0.2); overflow: hidden;
      }
      img { display: block; width: 100%; }
      h3 { margin: 0; padding: 0.75rem 1rem 0.25rem; font-size: 1.125rem; }
    `;

    build() {
      this.picture = h("img", { alt: "" });
      this.caption = h("h3");
      this.shadowRoot.append(this.picture, this.caption, h("slot"));
    }

    changed() {
      this.picture.hidden = !this.image;
      if (this.image) this.picture.src = this.image;
      this.caption.hidden = !this.heading;
      this.caption.textContent = this.heading;
    }
  }

  crowd.define("crowd-card", CrowdCard);
})(window.crowdElements);
