"""Accounts of an OpenID provider are found by its issuer and its number of somebody, no longer by the number alone."""

import hashlib
import json

from django.db import migrations


def _linked(apps):
    accounts = apps.get_model("socialaccount", "SocialAccount").objects.filter(provider="oidc")
    for account in accounts.iterator():
        token = account.extra_data.get("id_token")
        # Where nothing says who issued it, it is found no more: its owner links the account anew.
        if isinstance(token, dict) and "iss" in token and "sub" in token:
            yield account, str(token["iss"]), str(token["sub"])


def bind(apps, schema_editor):
    for account, issuer, subject in _linked(apps):
        if account.uid == subject:
            account.uid = hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()
            account.save(update_fields=["uid"])


def unbind(apps, schema_editor):
    for account, _, subject in _linked(apps):
        account.uid = subject
        account.save(update_fields=["uid"])


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_second_factor"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [migrations.RunPython(bind, unbind)]
