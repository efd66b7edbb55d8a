// What the two image classifiers share: the image, the annotations laid over it, and the worker's comment.
(function (crowd) {
  "use strict";
  const { h } = crowd;

  class ImageClassifier extends crowd.Classifier {
    static attributes = { ...crowd.Classifier.attributes, overlay: "json", src: "string" };
    static styles = `${crowd.Classifier.styles}
      .frame { position: relative; display: inline-block; max-width: 100%; line-height: 0; }
      .frame > img:first-child { display: block; max-width: 100%; max-height: 75vh; }
      @media (max-width: 900px) { .frame > img:first-child { max-height: 50vh; } }
      .frame > svg, .frame > .mask { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
      .mask { opacity: 0.6; }
      svg rect { fill: none; stroke-width: 3; vector-effect: non-scaling-stroke; }
      .legend {
        display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0.5rem 0 0; margin: 0; list-style: none;
        line-height: 1.4;
      }
      .swatch {
        display: inline-block; width: 0.875rem; height: 0.875rem; border-radius: 0.125rem; margin-right: 0.375rem;
        vertical-align: -0.0625rem;
      }
      .comment { margin-top: 0.75rem; }
      .said { color: var(--crowd-quiet); font-size: 0.875rem; overflow-wrap: anywhere; white-space: pre-wrap; }
      textarea {
        width: 100%; margin: 0.75rem 0; padding: 0.5rem; border: 1px solid var(--crowd-line);
        border-radius: 0.25rem; background: var(--crowd-surface);
      }
      .done {
        border: 1px solid var(--crowd-accent); border-radius: 0.375rem; background: var(--crowd-accent);
        color: var(--crowd-on-accent); min-height: 2.5rem; padding: 0.375rem 1.25rem; font-weight: 600;
      }
    `;

    furnish() {
      super.furnish();
      this.image = h("img", { alt: "The image to classify" });
      this.frame = h("div", { class: "frame" }, this.image);
      this.legendOf = h("ul", { class: "legend" });
      this.failure = h("p", { class: "error", role: "alert", hidden: true }, "The image could not be loaded.");
      this.target.append(this.frame, this.failure, this.legendOf);
      this.image.addEventListener("load", () => {
        this.failure.hidden = true;
        this.lay();
      });
      this.image.addEventListener("error", () => (this.failure.hidden = !this.src));
      this.makeComment();
    }

    makeComment() {
      this.workerComment = "";
      this.text = h("textarea", { rows: 4, "aria-label": "Comment" });
      this.said = h("div", { class: "said" });
      const done = h("button", { type: "button", class: "done", onclick: () => this.comment.close() }, "Done");
      this.comment = crowd.dialog("Add a comment", h("slot", { name: "worker-comment" }), this.text, done);
      this.link = h("button", { type: "button", class: "opener", "aria-haspopup": "dialog" });
      this.link.addEventListener("click", () => {
        this.comment.showModal();
        this.text.focus();
      });
      this.comment.addEventListener("close", () => {
        this.workerComment = this.text.value;
        this.said.textContent = this.workerComment;
        this.announce();
      });
      this.remark = h("div", { class: "comment" }, this.link, this.said);
      this.picker.append(this.remark);
      this.shadowRoot.append(this.comment);
    }

    get dialogOpen() {
      return this.comment.open;
    }

    arrange() {
      super.arrange();
      const region = this.region("worker-comment");
      this.remark.hidden = !region;
      this.link.textContent = region?.getAttribute("link-text") || "Add a comment";
      this.comment.setTitle(region?.getAttribute("header") || "Add a comment");
      this.text.placeholder = region?.getAttribute("placeholder") ?? "";
    }

    changed(name) {
      super.changed(name);
      if (name === "src") {
        if (this.src) this.image.src = this.src;
        else this.image.removeAttribute("src");
      }
      if (name === "header") this.image.alt = this.header || "The image to classify";
      if (name === "overlay") this.lay();
    }

    // The annotations of an earlier job, to be judged. Boxes are in the image's own pixels.
    lay() {
      for (const old of [...this.frame.children].slice(1)) old.remove();
      this.legendOf.replaceChildren();
      const { boundingBox, semanticSegmentation, instanceSegmentation } = this.overlay ?? {};
      const { naturalWidth: width, naturalHeight: height } = this.image;
      if (boundingBox && width) {
        const labels = crowd.labelTexts(boundingBox.labels);
        const svg = h("svg:svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" });
        for (const box of boundingBox.value ?? []) {
          const color = crowd.colorOf(Math.max(0, labels.indexOf(box.label)));
          svg.append(
            h(
              "svg:rect",
              { x: box.left, y: box.top, width: box.width, height: box.height, stroke: color },
              h("svg:title", {}, box.label),
            ),
          );
        }
        this.frame.append(svg);
        labels.forEach((label, index) => this.explain(label, crowd.colorOf(index)));
      }
      if (semanticSegmentation) {
        this.frame.append(h("img", { class: "mask", alt: "", src: semanticSegmentation.src }));
        for (const [label, { color }] of Object.entries(semanticSegmentation.labelMappings ?? {}))
          this.explain(label, color);
      }
      if (instanceSegmentation) {
        this.frame.append(h("img", { class: "mask", alt: "", src: instanceSegmentation.src }));
        for (const { label, color } of instanceSegmentation.instances ?? []) this.explain(label, color);
      }
    }

    explain(label, color) {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = color;
      this.legendOf.append(h("li", {}, swatch, label));
    }

    get answer() {
      const answer = super.answer;
      return answer && this.workerComment ? { ...answer, workerComment: this.workerComment } : answer;
    }

    restore(answer) {
      super.restore(answer);
      this.workerComment = String(answer?.workerComment ?? "");
      this.text.value = this.workerComment;
      this.said.textContent = this.workerComment;
    }

    reset() {
      super.reset();
      this.restore({});
    }
  }

  crowd.ImageClassifier = ImageClassifier;
})(window.crowdElements);
