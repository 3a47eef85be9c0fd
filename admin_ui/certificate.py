# SPDX-License-Identifier: MIT
"""The certificate page: which one is in use, and how to put another in its place (spec services 8.1)."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.validators import validate_domain_name
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from admin_ui.pages import Page
from admin_ui.unfolded import TextareaInput
from mailserver import clock
from mailserver.config import services
from mailserver.config.catalog import HOSTNAME
from mailserver.errors import InvalidInput

EXPIRES_SOON_DAYS = 21
"""From then on the pages warn: enough time to get a new one without haste."""


class CertificateForm(forms.Form):
    """A chain and its key, pasted."""

    chain_pem = forms.CharField(
        label="Certificate chain",
        widget=TextareaInput(attrs={"rows": 8, "class": "pb-pem", "spellcheck": "false"}),
        help_text="Your certificate first, then the ones in between, each starting with -----BEGIN CERTIFICATE-----."
        " Often the file is called fullchain.pem.",
    )
    key_pem = forms.CharField(
        label="Private key",
        widget=TextareaInput(attrs={"rows": 8, "class": "pb-pem", "spellcheck": "false", "autocomplete": "off"}),
        help_text="It starts with -----BEGIN PRIVATE KEY----- or similar; often privkey.pem."
        " It is kept encrypted and never shown.",
    )

    def save(self) -> bool:
        """Put them to use, or say at each box why not."""
        try:
            services.set_certificate(self.cleaned_data["chain_pem"], self.cleaned_data["key_pem"])
        except InvalidInput as error:
            for name, sentences in error.messages.items():
                for sentence in sentences:
                    self.add_error(name if name in self.fields else None, sentence)
            return False
        return True


class SelfSignedForm(forms.Form):
    """The name for which this server makes a certificate itself."""

    hostname = forms.CharField(max_length=255, validators=[validate_domain_name])


def certificate_page(request: HttpRequest) -> Page | HttpResponse:
    """Shows the certificate in use; takes another, or makes one."""
    if request.method == "POST" and "self_signed" in request.POST:
        return _make_self_signed(request)
    form = CertificateForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and form.save():
        messages.success(request, "The new certificate is in use for every connection from now on.")
        return HttpResponseRedirect(request.path)
    facts = services.current_certificate()
    days_left = (facts.valid_until - clock.now()).days if facts else 0
    context = {
        "form": form,
        "facts": facts,
        "days_left": days_left,
        "expires_soon": facts is not None and days_left < EXPIRES_SOON_DAYS,
        "hostname": services.get_setting(HOSTNAME) or (facts.names[0] if facts and facts.names else "localhost"),
    }
    return Page("console/certificate.html", "Certificate", context)


def _make_self_signed(request: HttpRequest) -> HttpResponse:
    form = SelfSignedForm(request.POST)
    if form.is_valid():
        services.make_self_signed(form.cleaned_data["hostname"])
        messages.success(
            request, "A new self-signed certificate is in use. Mail programs will ask whether to trust it."
        )
    else:
        messages.error(request, "Write the host name that mail programs use, such as mail.example.com.")
    return HttpResponseRedirect(request.path)
