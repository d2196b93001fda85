"""Takes Kubernetes' JSON schemas out of the package kubernetes-validate: `schemas.py FOLDER VERSION…`.

FOLDER holds the package; each version's kinds, with unknown fields refused, get a folder in it. A file
has all that it refers to, and no more: reading every definition for each kind would be slow.
"""

import json
import pathlib
import sys
import zipfile

REFERENCE = "/api/_definitions.json#/$defs/"
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def references(schema):
    """The names of the definitions that it refers to."""
    if isinstance(schema, list):
        for item in schema:
            yield from references(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        for item in schema.values():
            yield from references(item)


def own(schema):
    """The same with its references within the file, and without the words for people."""
    if isinstance(schema, list):
        return [own(item) for item in schema]
    if isinstance(schema, dict):
        kept = ((key, item) for key, item in schema.items() if key != "description" or isinstance(item, dict))
        return {key: own(item) for key, item in kept}
    if isinstance(schema, str):
        return schema.replace(REFERENCE, "#/$defs/")
    return schema


def whole(schema, definitions):
    """The schema with every definition that it needs."""
    needed, waiting = {}, set(references(schema))
    while waiting:
        name = waiting.pop()
        needed[name] = definitions[name]
        waiting |= set(references(needed[name])) - needed.keys()
    schema = {key: value for key, value in schema.items() if key != "$id"}
    return own({**schema, "$defs": needed})


folder = pathlib.Path(sys.argv[1])
package = zipfile.ZipFile(next(folder.glob("*.whl")))
for version in sys.argv[2:]:
    inside = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
    if inside + "_definitions.json" not in package.namelist():
        sys.exit(f"the package has no schemas of Kubernetes {version}")
    definitions = json.loads(package.read(inside + "_definitions.json"))["$defs"]
    target = folder / f"v{version}"
    target.mkdir()
    for name in package.namelist():
        if not name.startswith(inside) or name.endswith("_definitions.json"):
            continue
        schema = json.loads(package.read(name))
        # Only what is sent to an API server by itself says its version.
        if "enum" in schema.get("properties", {}).get("apiVersion", {}):
            text = json.dumps(whole(schema, definitions))
            (target / name.removeprefix(inside)).write_text(text)
    metadata = {"$ref": REFERENCE + METADATA}
    (target / "_metadata.json").write_text(json.dumps(whole(metadata, definitions)))
