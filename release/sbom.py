"""Takes what differs from run to run out of a CycloneDX file, checks it against the schema of its version, prints it.

    sbom.py FOLDER FILE        the folder is the one that it was made in: its path is left out
"""

import json
import os
import sys
from datetime import datetime, timezone

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

folder, path = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    text = file.read().replace(folder, "")
bom = json.loads(text)
# A number that is drawn by lot says nothing of what is in it.
bom.pop("serialNumber", None)
at = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
bom["metadata"]["timestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
bom["components"].sort(key=lambda component: component["bom-ref"])
bom["dependencies"].sort(key=lambda dependency: dependency["ref"])

text = json.dumps(bom, indent=2, sort_keys=True, ensure_ascii=False)
wrong = JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text)
if wrong:
    sys.exit(f"the SBOM is not valid: {wrong}")
known = {bom["metadata"]["component"]["bom-ref"], *(component["bom-ref"] for component in bom["components"])}
lost = {ref for entry in bom["dependencies"] for ref in [entry["ref"], *entry.get("dependsOn", [])]} - known
if lost:
    sys.exit(f"the SBOM names what it does not have: {sorted(lost)}")
print(text)
