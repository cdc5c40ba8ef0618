"""Loads all files into configparser at once; this task is small enough for any way of doing it."""

import configparser
import glob

loaded = {}
for path in sorted(glob.glob("/app/settings/*.ini")):
    loaded[path] = configparser.ConfigParser()
    loaded[path].read(path)
for path, settings in loaded.items():
    settings.remove_section("legacy")
    with open(path, "w") as out:
        for name in settings.sections():
            section = settings[name]
            section["port"] = str(int(section["port"]) + 1000)
            out.write(f"[{name}]\n")
            for key, value in section.items():
                out.write(f"{'timeout_s' if key == 'timeout' else key} = {value}\n")
            out.write("\n")
