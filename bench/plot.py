"""Draws a report: every peer's speed relative to Joinery's in f32.

    plot.py REPORT.json OUT.svg
"""

import colorsys
import json
import pathlib
import sys
import xml.etree.ElementTree

import pygal
from pygal.style import Style

from report import check, measured, title


def chart(report):
    # Bars grow upwards; a report reads downwards.
    cases = report["cases"][::-1]
    names = list(dict.fromkeys(name for case in cases for name in measured(case)))
    hues = [colorsys.hsv_to_rgb(i / len(names), 0.75, 0.65 + 0.25 * (i % 2)) for i in range(len(names))]
    colors = tuple("#" + "".join(f"{round(255 * part):02x}" for part in hue) for hue in hues)
    bars = pygal.HorizontalBar(
        style=Style(colors=colors, background="white", plot_background="white", opacity="1"), js=[],
        height=max(500, 14 * len(names) * len(cases)), width=1000, truncate_legend=-1,
        title="Speed relative to Joinery f32 (longer is faster)", x_title="scaled by the peak probes")
    bars.x_labels = [title(case) for case in cases]
    for name in names:
        bars.add(name, [speed(measured(case), name) for case in cases])
    return bars


def speed(peers, name):
    base, peer = peers.get("joinery"), peers.get(name)
    if not base or not peer or not base["scaled_median_s"] or not peer["scaled_median_s"]:
        return None
    return round(base["scaled_median_s"] / peer["scaled_median_s"], 3)


def write(report, path):
    """Without pygal's scripts: a README and a viewer offline show the file alike."""
    tree = xml.etree.ElementTree.ElementTree(xml.etree.ElementTree.fromstring(chart(report).render()))
    for parent in tree.getroot().iter():
        for script in [child for child in parent if child.tag.endswith("}script")]:
            parent.remove(script)
    xml.etree.ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    tree.write(path, encoding="utf-8", xml_declaration=True)


def main():
    with open(sys.argv[1]) as file:
        write(check(json.load(file)), pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
