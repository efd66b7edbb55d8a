// <crowd-bounding-box>: rectangles with labels on an image.
(function (crowd) {
  "use strict";

  class CrowdBoundingBox extends crowd.ShapeTool {
    static key = "boundingBoxes";
    static noun = "box";
    static minimum = 2;
    static maximum = 2;
    static closed = true;
    static box = true;

    toJSON({ label, points }) {
      const { left, top, right, bottom } = crowd.geometry.box(points);
      return { height: bottom - top, label, left, top, width: right - left };
    }

    fromJSON({ height, label, left, top, width }) {
      const [x, y] = [Number(left), Number(top)];
      return {
        label,
        points: [
          { x, y },
          { x: x + Number(width), y: y + Number(height) },
        ],
      };
    }
  }

  crowd.define("crowd-bounding-box", CrowdBoundingBox);
})(window.crowdElements);
