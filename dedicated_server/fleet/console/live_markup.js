// Markup that is renewed several times a second, in place: what stays, stays the same element. So a hint that
// the pointer has opened stays open, a button keeps the keyboard, and what moves can move evenly (CSS
// transitions). Children with data-k are known by it, the others by their order.

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-k") : null);

function renewAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function renew(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  renewAttributes(old, fresh);
  renewChildren(old, fresh);
}

function renewChildren(parent, fresh) {
  const wanted = [...fresh.childNodes];
  const keys = new Set(wanted.map(keyOf).filter((key) => key !== null));
  const known = new Map();
  for (const child of [...parent.childNodes]) {
    const key = keyOf(child);
    if (key === null) continue;
    if (keys.has(key)) known.set(key, child);
    else child.remove();
  }
  let at = parent.firstChild;
  for (const want of wanted) {
    const key = keyOf(want);
    const have = key === null ? at : known.get(key);
    const fits = have && have.nodeName === want.nodeName && keyOf(have) === key;
    if (!fits) {
      parent.insertBefore(want, at);
      continue;
    }
    if (have === at) at = at.nextSibling;
    else parent.insertBefore(have, at);
    renew(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

export default {
  template: "<div></div>",
  props: { markup: { type: String, default: "" } },
  mounted() {
    this.show(this.markup);
    this.$el.addEventListener("click", (event) => this.click(event));
  },
  watch: {
    markup(value) {
      this.show(value);
    },
  },
  methods: {
    show(markup) {
      const fresh = document.createElement("template");
      fresh.innerHTML = markup;
      renewChildren(this.$el, fresh.content);
    },
    click(event) {
      const chosen = event.target.closest("[data-pick]");
      if (chosen && chosen.closest("svg") === null) {
        this.$emit("pick", { name: chosen.getAttribute("data-pick") });
        return;
      }
      const drawing = event.target.closest("svg");
      if (!drawing) return;
      const box = drawing.getBoundingClientRect();
      const { width, height } = drawing.viewBox.baseVal;
      this.$emit("point", {
        x: ((event.clientX - box.x) / box.width) * width,
        y: ((event.clientY - box.y) / box.height) * height,
      });
    },
  },
};
