"""Takes Kubernetes' JSON schemas out of the package kubernetes-validate: `schemas.py FOLDER VERSION…`.

FOLDER holds the package; each version's schemas, which refuse unknown fields, get a folder in it.
"""

import json
import pathlib
import sys
import zipfile


def plain(schema):
    """Without the words for people, which are most of it."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if isinstance(schema, dict):
        kept = schema.items()
        return {key: plain(item) for key, item in kept if key != "description" or isinstance(item, dict)}
    return schema


folder = pathlib.Path(sys.argv[1])
package = zipfile.ZipFile(next(folder.glob("*.whl")))
for version in sys.argv[2:]:
    inside = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
    target = folder / f"v{version}"
    target.mkdir()
    for name in package.namelist():
        if name.startswith(inside) and name.endswith(".json"):
            # They refer to one another by addresses on kubernetes.io; here they do by file.
            text = package.read(name).decode().replace('"/api/_definitions.json#', '"_definitions.json#')
            schema = plain(json.loads(text))
            schema.pop("$id", None)
            (target / name.removeprefix(inside)).write_text(json.dumps(schema))
    if not (target / "_definitions.json").exists():
        sys.exit(f"the package has no schemas of Kubernetes {version}")
