(() => {
  const plots = [...document.querySelectorAll("svg[data-to]")];
  const tip = document.getElementById("tip");
  const hide = () => {
    tip.style.display = "none";
    for (const plot of plots) plot.querySelector(".xh").setAttribute("visibility", "hidden");
  };
  for (const plot of plots) {
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const { left, right, to } = plot.dataset;
      const x = ((event.clientX - box.left) / box.width) * plot.viewBox.baseVal.width;
      const time = ((x - left) / (right - left)) * to;
      if (time < 0 || time > +to) return hide();
      for (const other of plots) {
        const line = other.querySelector(".xh");
        line.setAttribute("transform", `translate(${x} 0)`);
        line.setAttribute("visibility", "visible");
      }
      tip.textContent = time.toFixed(3) + " s";
      tip.style.display = "block";
      tip.style.left = Math.min(event.clientX + 14, innerWidth - 100) + "px";
      tip.style.top = event.clientY + 12 + "px";
    });
  }
})();
