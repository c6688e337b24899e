"use strict";
(() => {
  document.documentElement.classList.add("js");

  // a plane's slice is shared by its before/after picture and its maps
  const show = (plane, index) => {
    for (const figure of document.querySelectorAll(`figure[data-plane="${plane}"]`)) {
      const slider = figure.querySelector(".slice");
      if (!slider) continue;
      const at = Math.min(Math.max(index, 1), Number(slider.max));
      slider.value = String(at);
      for (const stack of figure.querySelectorAll(".stack")) {
        [...stack.children].forEach((image, i) => { image.hidden = i !== at - 1; });
      }
      const place = slider.dataset.places.split("|")[at - 1];
      figure.querySelector("output").value = place;
      slider.setAttribute("aria-valuetext", `slice ${at} of ${slider.max}, ${place}`);
    }
  };

  const wipe = (stage, percent) => {
    const slider = stage.querySelector(".wipe");
    slider.value = String(percent);
    stage.style.setProperty("--wipe", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % before`);
  };

  for (const slider of document.querySelectorAll(".slice")) {
    const { plane } = slider.closest("figure").dataset;
    slider.addEventListener("input", () => show(plane, Number(slider.value)));
  }

  for (const slider of document.querySelectorAll(".wipe")) {
    const stage = slider.closest(".stage");
    const { plane } = stage.closest("figure").dataset;
    const scroller = stage.closest("figure").querySelector(".slice");
    slider.addEventListener("input", () => wipe(stage, Number(slider.value)));
    slider.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!step || !scroller) return;
      event.preventDefault();
      show(plane, Number(scroller.value) + step);
    });
    // mouse, pen and touch: anywhere on the picture, which a range input alone does not give on every phone
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      wipe(stage, (100 * (event.clientX - box.left)) / box.width);
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      slider.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });
    wipe(stage, 50);
  }

  for (const button of document.querySelectorAll("button[data-wipe]")) {
    button.addEventListener("click", () => {
      for (const stage of document.querySelectorAll(".compare")) wipe(stage, Number(button.dataset.wipe));
    });
  }

  const enlarge = document.querySelector(".enlarge");
  enlarge.addEventListener("click", () => {
    const large = enlarge.getAttribute("aria-pressed") !== "true";
    enlarge.setAttribute("aria-pressed", String(large));
    for (const planes of document.querySelectorAll(".planes")) planes.classList.toggle("large", large);
  });
})();
