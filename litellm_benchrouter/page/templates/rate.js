"use strict";
// Keys for the form, which works without them.
const answers = [...document.querySelectorAll("fieldset.rated")];
const form = document.querySelector("form");
const ratings = { r: "right", p: "partly", w: "wrong" };
const actions = { s: "skip", u: "back" };

const go = (i) => {
  const radios = answers[i]?.querySelectorAll("input");
  const at = radios && ([...radios].find((radio) => radio.checked) ?? radios[0]);
  at?.focus();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const here = Math.max(answers.findIndex((each) => each.contains(document.activeElement)), 0);
  if (key in ratings) {
    answers[here].querySelector(`input[value=${ratings[key]}]`).checked = true;
    go(here + 1 < answers.length ? here + 1 : here);
  } else if (key in actions) {
    form.requestSubmit(form.querySelector(`button[value=${actions[key]}]`));
  } else if ("abc".includes(key) && "abc".indexOf(key) < answers.length) {
    go("abc".indexOf(key));
  } else if (key === "enter" && document.activeElement.tagName !== "BUTTON") {
    form.requestSubmit(form.querySelector("button[value=rate]"));
  } else {
    return;
  }
  event.preventDefault();
});
