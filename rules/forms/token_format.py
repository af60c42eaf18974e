"""The format of pasted tokens."""


def fault_of_token(value: str) -> str | None:
    """Return what is wrong with a pasted token, without repeating it, or None."""
    if not value.strip():
        return "it is empty"
    if value != value.strip():
        return "it has blanks or a line end around it"
    # Instructions for other products end a token with a colon or a semicolon; Credly's have neither.
    if value[-1] in ";:":
        return f"it ends with a {'semicolon' if value[-1] == ';' else 'colon'}, which is not part of the token"
    if value[0] in "\"'" or value[-1] in "\"'":
        return "it has quotation marks around it"
    if value[0] in "{[":
        return "it is JSON; enter the token alone"
    if any(character.isspace() or not character.isprintable() for character in value):
        return "it has blanks or invisible characters in it"
    return None if value.isascii() else "it has characters that are not allowed in a token"
