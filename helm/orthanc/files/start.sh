#!/bin/bash
# Starts Orthanc. The arguments are its plugins: files of the image, or folders of them. Images keep their plugins in
# different folders, so a file that is not where it is said to be is looked for by its name; all are gathered in one.
# The entry point of the vendor's image is not used: it wants to write outside of /tmp, and to write passwords there.
set -eu
gather() { ln -sf "$1" /run/orthanc/plugins/; }
for plugin in "$@"; do
  name=${plugin##*/}
  for found in "$plugin" "/usr/share/orthanc/plugins-available/$name" "/usr/share/orthanc/plugins/$name"; do
    if [ -e "$found" ]; then break; fi
  done
  if [ -d "$found" ]; then
    for file in "$found"/*.so; do gather "$file"; done
  elif [ -e "$found" ]; then
    gather "$found"
  else
    echo "this image has no plugin $plugin" >&2
    exit 1
  fi
done
# it logs in as the probe does: with the passwords as they are
rm -f /tmp/lost /tmp/served /tmp/anew
bash /etc/korthweb/watch.sh &
# Orthanc puts passwords into its JSON as they are, before it reads that: a quote in one would end the text it is in, and
# could switch authentication off. So they are escaped here, where every password passes, wherever it was chosen.
for name in "${!ORTHANC_@}"; do
  if [[ "$name" != *_PASSWORD ]]; then continue; fi
  password=${!name}
  if [[ -z "$password" || "$password" == *[[:cntrl:]]* ]]; then
    echo "$name is empty or holds a control character (a line break at its end, perhaps): change it in its Secret" >&2
    exit 1
  fi
  password=${password//\\/\\\\}
  export "$name=${password//\"/\\\"}"
done
exec Orthanc /etc/korthweb/orthanc.json
