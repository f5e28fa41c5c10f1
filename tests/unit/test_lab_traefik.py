"""What a lab gets on request: the recipes agree with each other, and the registry is nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from korthweb_tasks.errors import UsageError
from korthweb_tasks.lab import addons, charts, mirror
from korthweb_tasks.lab.addon_install import addons as known
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.packages import RECIPES
from korthweb_tasks.lab.raising import Options, chosen_images, needed
from korthweb_tasks.provision.recipes import recipe
from korthweb_tasks.settings.charts import CHARTS
from korthweb_tasks.settings.versions import PINS

CHART = RECIPES / "charts" / "traefik"
LAYOUT = Layout("tr1", Path("/state/labs/tr1"), index=3)


def test_image_chart_and_component_of_an_extra_agree() -> None:
    image = yaml.safe_load((RECIPES / "images" / "traefik.yaml").read_text())
    assert image["name"] == f"korthweb.lab/traefik:{recipe('traefik').version}"
    assert ImageRecipes().components(["traefik"]) == ["traefik"]
    assert recipe(charts.component_of("traefik")).extras[0].to == "crds.yaml"
    assert {"traefik"} <= PINS.keys() & CHARTS.keys()


def test_what_is_brought_on_request_is_no_part_of_a_lab() -> None:
    assert not {image for addon in known().values() for image in addon.images} & set(chosen_images(Options()))
    assert "traefik" not in needed(Options(), simulated=False)


def test_the_image_and_the_chart_run_as_the_same_user_who_is_not_root() -> None:
    image = yaml.safe_load((RECIPES / "images" / "traefik.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    user = values["podSecurityContext"]["runAsUser"]
    assert image["config"]["User"] == f"{user}:{values['podSecurityContext']['runAsGroup']}"
    assert user > 0
    assert values["podSecurityContext"]["runAsNonRoot"]
    assert values["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_chart_says_that_it_is_the_labs_and_carries_nothing_of_upstream() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["annotations"]["korthweb.lab/own"] == "true"
    assert not (CHART / "crds").exists()


def test_the_registry_listens_at_the_labs_end_of_the_cable_with_a_certificate() -> None:
    settings = json.loads(mirror.settings(LAYOUT))
    assert settings["http"]["addr"] == f"{LAYOUT.address}:5000"
    assert set(settings["http"]["tls"]) == {"certificate", "key"}
    assert mirror.chart_source(LAYOUT, "traefik") == f"oci://{LAYOUT.address}:5000/charts/traefik"


def test_a_proxy_of_the_users_is_not_asked_for_the_registry() -> None:
    assert set(mirror.direct(LAYOUT).values()) == {LAYOUT.address}


def test_an_install_says_what_is_wrong_before_anything_is_built() -> None:
    with pytest.raises(UsageError, match="no extra 'trefik'") as raised:
        addons.install("tr1", "trefik")
    assert "traefik" in raised.value.hint
    with pytest.raises(UsageError, match="'tr1' is absent"):
        addons.install("tr1", "traefik")
    assert addons.chart_source("tr1", "traefik") is None


def test_the_lab_takes_the_chart_from_its_own_registry() -> None:
    profile = Path(addons.__file__).parents[1] / "settings" / "profiles" / "lab.yaml"
    assert yaml.safe_load(profile.read_text())["charts"]["traefik"]["source"] == "lab"
