// <crowd-keypoint>: points with labels on an image.
(function (crowd) {
  "use strict";

  class CrowdKeypoint extends crowd.ShapeTool {
    static key = "keypoints";
    static noun = "point";
    static minimum = 1;
    static maximum = 1;

    toJSON({ label, points: [{ x, y }] }) {
      return { label, x, y };
    }

    fromJSON({ label, x, y }) {
      return { label, points: [{ x, y }] };
    }
  }

  crowd.define("crowd-keypoint", CrowdKeypoint);
})(window.crowdElements);
