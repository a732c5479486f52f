"""Step 2: for which marketplace, with which template, for which seller."""

from __future__ import annotations

from typing import Any

import streamlit as st
from jewelry_client import File

from studio_service import settings, state
from studio_service.labels import either, t
from studio_service.listing import Where
from studio_service.parts import choices
from studio_service.parts.problem import shown
from studio_service.parts.text import plain
from studio_service.problems import Problem
from studio_service.profiles import FIELDS, SPOKEN, Profile, Profiles, parsed, written

_TEMPLATE = "catalogue.template"
_PROFILE = "catalogue.profile"
_SAVED = "catalogue.profile_saved"


def choose() -> Where | None:
    """Asks; gives None where the gateway tells no marketplace."""
    templates = state.templates()
    codes = list(dict.fromkeys(str(one["marketplace_type"]) for one in templates))
    if not codes:
        st.warning(t("where.no_codes"))
        return None
    left, right = st.columns([3, 2])
    with left:
        code = st.selectbox(t("where.market"), codes, format_func=code_label, key="catalogue.code")
    with right:
        website = choices.website("catalogue.website")
    template_id = _template(code, website, [one for one in templates if one["marketplace_type"] == code])
    return Where(code, website, template_id, _profile())


def code_label(code: str) -> str:
    """A marketplace code in words, such as Amazon.in · Earrings."""
    market, _, category = code.partition("_")
    return f"{either(f'market.{market}', market)} · {either(f'category.{category}', category)}"


def _template(code: str, website: str, templates: list[dict[str, Any]]) -> str:
    names = {str(one["template_id"]): _name(one) for one in templates}
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    key = f"{_TEMPLATE}.{code}"
    with left:
        chosen = st.selectbox(
            t("where.template"),
            ["", *names],
            format_func=lambda one: names.get(one) or t("where.template_newest"),
            help=t("where.template_help"),
            key=key,
        )
    with right, st.popover(t("where.own_template"), icon=":material/upload_file:", width="stretch"):
        file = st.file_uploader(t("where.own_template_file"), type=["xlsx", "xlsm", "xls", "csv"], key=f"{key}.file")
        st.button(
            t("where.register"),
            disabled=file is None,
            type="primary",
            on_click=_register,
            args=(code, website, f"{key}.file", key),
            key=f"{key}.register",
        )
        for kind, sentence in st.session_state.get(f"{key}.said", ()):
            getattr(st, kind)(sentence)
    return chosen


def _name(template: dict[str, Any]) -> str:
    if template.get("built_in"):
        return t("where.built_in")
    return t("where.own", name=template.get("original_name"), version=template.get("version"))


def _register(code: str, website: str, file_key: str, key: str) -> None:
    """Before the page is drawn again, so that the new template can be chosen in it."""
    file = st.session_state.get(file_key)
    if file is None:
        return
    said: list[tuple[str, str]] = []
    try:
        workbook = File(file.getvalue(), file.name)
        made = state.api().ask(lambda client: client.register_template(workbook, code, website=website))
    except Problem as problem:
        said.append(("error", plain(problem.sentence)))
    else:
        state.templates.clear()
        st.session_state[key] = made["template_id"]
        columns = sum(bool(column.get("field")) for column in made.get("columns") or ())
        said.append(("success", t("where.registered", known=columns, all=len(made.get("columns") or ()))))
        said += [("warning", plain(str(warning))) for warning in (made.get("warnings") or ())[:5]]
    st.session_state[f"{key}.said"] = said


def _profile() -> dict[str, str]:
    profiles = Profiles(settings.load().folder)
    found: dict[str, Profile] = {}
    with shown():
        found = profiles.all()
    names = ["", *found]
    if _SAVED in st.session_state:
        st.session_state[_PROFILE] = st.session_state.pop(_SAVED)
    if st.session_state.get(_PROFILE) not in names:
        st.session_state.pop(_PROFILE, None)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        name = st.selectbox(
            t("where.profile"),
            names,
            format_func=lambda one: one or t("where.profile_none"),
            help=t("where.profile_help"),
            key=_PROFILE,
        )
    with right:
        label = t("where.profile_edit") if name else t("where.profile_new")
        if st.button(label, icon=":material/storefront:", width="stretch", key="catalogue.profile_edit"):
            edit = st.dialog(t("profile.title"), width="large")(_edit)
            edit(found.get(name) or Profile(""))
    return dict(found[name].values) if name else {}


def _edit(profile: Profile) -> None:
    st.caption(t("profile.intro"))
    with st.form("profile", border=False):
        name = st.text_input(t("profile.name"), value=profile.name, max_chars=60)
        values: dict[str, str] = {}
        left, right = st.columns(2)
        for number, one in enumerate(FIELDS):
            with right if number % 2 else left:
                values[one] = st.text_input(t(f"profile.{one}"), value=profile.values.get(one, ""))
        for one in SPOKEN:
            values[one] = st.text_input(
                t(f"profile.{one}"), value=profile.values.get(one, ""), help=t(f"profile.{one}_help")
            )
        more = st.text_area(t("profile.more"), value=written(profile.more), help=t("profile.more_help"))
        if st.form_submit_button(t("common.save"), type="primary"):
            with shown():
                saved = Profile(name.strip(), {**values, **parsed(more)})
                Profiles(settings.load().folder).save(saved)
                st.session_state[_SAVED] = saved.name
                st.rerun()
    if profile.name and st.button(t("profile.delete"), type="tertiary", icon=":material/delete:"):
        with shown():
            Profiles(settings.load().folder).delete(profile.name)
            st.rerun()
