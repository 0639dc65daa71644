// A few at a time: work of many parts without many requests at once.

/** Runs `work(item, index)` over all items, `width` at a time, until done or `stopped()`. */
export async function each(items, width, work, stopped = () => false) {
  let next = 0;
  const lane = async () => {
    while (next < items.length && !stopped()) {
      const index = next;
      next += 1;
      await work(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}
