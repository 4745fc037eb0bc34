/**
 * How many columns make the pictures largest: the wall fills the screen, whatever the number of bays. Pure.
 */

const PICTURE = 16 / 9;
/** The line under each picture: a share of the tile's height within bounds, as `.bay-caption` in wall.css has it. */
const CAPTION = { share: 0.14, least: 28, most: 66 };

/**
 * @param {number} count bays, at least 1
 * @param {number} width room in CSS pixels
 * @param {number} height
 * @param {number} gap between tiles
 * @returns {{columns: number, rows: number}}
 */
export function bestGrid(count, width, height, gap) {
  let best = { columns: 1, rows: count, picture: -1 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileWidth = (width - gap * (columns - 1)) / columns;
    const tileHeight = (height - gap * (rows - 1)) / rows;
    const caption = Math.min(CAPTION.most, Math.max(CAPTION.least, tileHeight * CAPTION.share));
    const picture = Math.min(tileWidth, (tileHeight - caption) * PICTURE);
    if (picture > best.picture) best = { columns, rows, picture };
  }
  return { columns: best.columns, rows: best.rows };
}
