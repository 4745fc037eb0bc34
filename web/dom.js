/**
 * Small helpers to make and change nodes. Must never take markup as text: everything is made node by node.
 */

import { ICONS } from "./icons.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * One of our own drawings. Hidden from screen readers: the words beside it say the same.
 * @param {import("./icons.js").IconName} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * Exchange a drawing only where it differs, so that nothing flickers.
 * @param {Element} holder
 * @param {import("./icons.js").IconName} name
 */
export function setIcon(holder, name) {
  if (holder.getAttribute("data-icon") === name) return;
  holder.setAttribute("data-icon", name);
  holder.replaceChildren(icon(name));
}

/**
 * Write text only where it differs, so that screen readers and the layout are left alone.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new TypeError(`the page has no #${id}`);
  return node;
}
