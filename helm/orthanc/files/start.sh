#!/bin/sh
# Images keep their plugins in different folders; those that orthanc.json asks for are gathered in one.
set -eu
for plugin in PostgreSQLIndex PostgreSQLStorage DicomWeb Explorer2; do
  for folder in /usr/share/orthanc/plugins-available /usr/share/orthanc/plugins; do
    file="$folder/libOrthanc$plugin.so"
    if [ -e "$file" ]; then
      ln -sf "$file" /run/orthanc/plugins/
      break
    fi
  done
done
exec Orthanc /etc/korthweb/orthanc.json
