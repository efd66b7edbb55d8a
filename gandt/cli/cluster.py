"""``gandt cluster``."""

from typing import Annotated

import typer

from gandt.cli import Json, app, note, show_json, show_table


@app.command("cluster")
def cluster_command(
    store: Annotated[str, typer.Argument(help="The folder of an embedding store.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the clusters, the decisions and labels.csv.")],
    method: Annotated[str, typer.Option(help="ward, k-means or hdbscan.")] = "ward",
    k_min: Annotated[int, typer.Option(help="The fewest clusters.")] = 2,
    k_max: Annotated[int | None, typer.Option(help="The most clusters; 60 by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is random in k-means.")] = 0,
    serve: Annotated[bool, typer.Option("--serve", help="Open the page for choosing k and naming clusters.")] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Draw so many of the named into OUT/check.csv, to be labelled elsewhere.")
    ] = None,
    check: Annotated[
        str | None, typer.Option(help="A table (item, label) that checks the names: labels get a confidence.")
    ] = None,
    worker: Annotated[str | None, typer.Option(help="Who names them; by default the user of this computer.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes any free one.")] = 8260,
    json_: Json = False,
) -> None:
    """Find clusters of alike images, look at them on a page, and name whole clusters at once.

    Run it again to go on where you were; labels.csv in OUT is up to date each time.

    Example: gandt cluster photos.store --out clusters --serve
    """
    from gandt.candidates.clusters.work import open_work

    with open_work(store, out, method=method, k_min=k_min, k_max=k_max, seed=seed, worker=worker) as work:
        facts = work.facts()
        if serve:
            address, wait = work.serve(port)
            if json_:
                show_json({**facts, "address": address})
            else:
                note(f"gandt: open {address}")
                note(f"  Ctrl-C ends it; decisions are kept in {out} as they come, labels in {work.labels}")
            wait()
        if check:
            work.naming.check(check)
        drawn = work.draw_check(sample) if sample else None
        facts = work.facts()
        work.write_labels()
    if json_:
        if not serve:
            show_json({**facts, **({"check": drawn} if drawn else {})})
        return
    show_table(f"Clusters of {store}", [facts])
    if drawn:
        note(f"{drawn} names what to check: label it, and give the labels with --check")
    elif not serve and not facts["named"]:
        note(f"the silhouette speaks for {facts['best_k']} clusters; it's advice: look at them with --serve")
    elif facts["named"]:
        note(f"labels are in {work.labels}; the rest can be asked otherwise: gandt manifest build {work.labels} ...")
