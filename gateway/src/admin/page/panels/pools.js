// What makes events of messages: how far its pools are behind.

function poolsPanel(body) {
  const columns = [
    "pool",
    "behind",
    "oldest",
    "wanted within",
    "running",
    "held",
    "stopped",
    "events",
    "failures",
  ];
  const table = new Table(
    "Pools",
    columns.map((name) => ({ name })),
  );
  body.append(table.node);
  return ({ now }) => {
    const row = (pool) => {
      const { running = 0, held = 0, stopped = 0 } = pool.partitions ?? {};
      const late = pool.lag_seconds > pool.freshness_target_seconds;
      return [
        pool.pool,
        count(pool.lag),
        { text: duration(pool.lag_seconds), mark: late && "warn" },
        duration(pool.freshness_target_seconds),
        count(running),
        { text: count(held), mark: held > 0 && "warn" },
        { text: count(stopped), mark: stopped > 0 && "bad" },
        rate(pool.events_per_second),
        { text: rate(pool.failures_per_second), mark: pool.failures_per_second > 0 && "warn" },
      ];
    };
    table.show(now.pools.map(row));
  };
}
