// <crowd-radio-button>: exclusive within its crowd-radio-group; on its own it can be switched on and off.
(function (crowd) {
  "use strict";

  class CrowdRadioButton extends crowd.Choice {
    static inputType = "radio";

    build() {
      super.build();
      this.box.addEventListener("click", () => {
        // A radio button alone can't be unchecked in HTML; without a group this one can.
        if (this.checked && !this.closest("crowd-radio-group")) {
          this.checked = false;
          this.announce();
        }
      });
    }

    // Ground Truth's radio buttons know no required: only plain <input type="radio" required> does.
    get problem() {
      return "";
    }
  }

  crowd.define("crowd-radio-button", CrowdRadioButton);
})(window.crowdElements);
