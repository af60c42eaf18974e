"""Tokens as people paste them."""


def fault_of_token(value: str) -> str | None:
    """Return what is wrong with a pasted token in words that do not repeat it, or None.

    Instructions for other products have people paste tokens with a colon or a semicolon; Credly's own have neither.
    """
    if not value.strip():
        return "it is empty"
    if value != value.strip():
        return "it has blanks or a line end around it"
    if value[-1] in ";:":
        return f"it ends with a {'semicolon' if value[-1] == ';' else 'colon'}, which is not part of the token"
    if value[0] in "\"'" or value[-1] in "\"'":
        return "it has quotation marks around it"
    if any(character.isspace() or not character.isprintable() for character in value):
        return "it has blanks or invisible characters in it"
    return None if value.isascii() else "it has characters that no token has"
