// Without this all runs are listed; it adds the choice of a plan and of a verdict.
(() => {
  "use strict";
  const rows = [...document.querySelectorAll(".runs tbody tr")];
  const groups = [...document.querySelectorAll("article[data-plan]")];
  const filter = document.getElementById("filter");
  if (rows.length < 2) return;
  const shown = document.createElement("span");
  shown.className = "dim";
  shown.setAttribute("role", "status");
  const choices = ["plan", "verdict"].map((name) => {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => row.dataset[name]))].filter(Boolean).sort();
    for (const value of ["", ...values]) select.append(new Option(value || "all", value));
    const label = document.createElement("label");
    label.append(name + " ", select);
    filter.append(label);
    select.addEventListener("change", show);
    return [name, select];
  });
  filter.append(shown);
  function show() {
    const fits = (row) => choices.every(([name, select]) => !select.value || row.dataset[name] === select.value);
    for (const row of rows) row.hidden = !fits(row);
    const plan = choices[0][1].value;
    for (const group of groups) group.hidden = plan !== "" && group.dataset.plan !== plan;
    const count = rows.filter((row) => !row.hidden).length;
    shown.textContent = `${count} of ${rows.length} shown`;
  }
})();
