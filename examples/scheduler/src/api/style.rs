//! How the page looks: inline, so that it works without a network.

/// Dark and light follow the reader's system.
pub(super) const CSS: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --ok: #2a8a4a; --run: #2468c8; --bad: #c33a2c; --warn: #b7791f; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.2rem; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p.sub { margin: 0; opacity: .7; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; opacity: .7; font-size: .85em; white-space: nowrap; }
td.n { white-space: nowrap; }
code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { margin: .2rem 0; padding: .4rem .6rem; background: var(--soft); overflow-x: auto; max-height: 16rem; }
a { color: inherit; }
.tag { display: inline-block; padding: 0 .5em; border-radius: .7em; font-size: .85em; border: 1px solid currentColor; white-space: nowrap; }
.succeeded, .alive { color: var(--ok); } .running, .assigned, .leader { color: var(--run); }
.failed, .timed_out, .lost, .vanished { color: var(--bad); } .retrying, .declined, .busy, .leaving, .stale { color: var(--warn); }
.waiting, .skipped, .cancelled, .submitted, .left { opacity: .65; }
.tasks { display: flex; flex-wrap: wrap; gap: .3rem; margin: .3rem 0; }
.bar { display: inline-block; width: 6rem; height: .6rem; background: var(--soft); border-radius: .3rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--run); }
.banner { padding: .5rem .8rem; border: 1px solid var(--warn); color: var(--warn); margin: .8rem 0; }
.none { opacity: .6; }
";
