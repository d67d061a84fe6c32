"""A naive keeper of users: one list of dictionaries, scanned; every rule written out again.

It answers with the first word of a refusal, or "" for what was done; `seen` is all that a reader
may see. It knows nothing of ids: the exchange says which id it gave, and the twin takes it over.
"""

NANOS = 1_000_000_000
ROLE_SCOPES = {"viewer": ["read"], "trader": ["read", "trade"],
               "operator": ["read", "trade", "admin"]}  # fmt: skip


class ReferenceAccess:
    def __init__(self):
        self.users = []
        self.used_accounts = []  # those with money, positions or orders

    # --- looking ---

    def find(self, name):
        return next((u for u in self.users if u["name"].lower() == name.lower()), None)

    def token(self, user, family, generation):
        """The refresh token, as it was given; None for one that never was."""
        for each in user["tokens"]:
            if (each["family"], each["generation"]) == (family, generation):
                return each
        return None

    def seen(self):
        return [
            {
                "name": u["name"], "email": u["email"], "hash": u["hash"], "role": u["role"],
                "accounts": u["accounts"], "locked": bool(u["locked"]),
                "credential": u["credential"],
                "families": [
                    (s["family"], max(
                        t["generation"] for t in u["tokens"] if t["family"] == s["family"]
                    ))
                    for s in u["sessions"]
                ],
                "keys": [(k["id"], k["scopes"]) for k in u["keys"]],
                "arms": u["arms"],
                "factor": u["factor"],
                "code": u["code"] is not None,
            }
            for u in self.users
        ]  # fmt: skip

    # --- doing: each gives "" or the reason ---

    def ask(self, account, action, name, facts, now_ns, made_id):
        user = self.find(name)
        operator = account == "operator"
        if action == "SIGN_UP":
            return self.sign_up(name, facts, made_id, operator)
        if action == "RESET_PASSWORD":
            return self.reset(user, facts, now_ns, made_id)
        if user is None:
            return "USER_UNKNOWN"
        takes_away = action in ("LOGOUT", "LOGOUT_ALL", "REVOKE_KEY", "DISARM")
        if user["locked"] and not operator and not takes_away:
            return "USER_LOCKED"
        return getattr(self, action.lower())(user, facts, now_ns, made_id, operator)

    def sign_up(self, name, facts, made_id, operator):
        for user in self.users:
            if user["name"].lower() == name.lower():
                return "USER_EXISTS"
        for user in self.users:
            if user["email"].lower() == facts["email"].lower():
                return "USER_EXISTS"
        accounts = [a for a in facts["accounts"].split(",") if a]
        if self.taken(accounts, operator):
            return "ACCOUNT_TAKEN"
        self.users.append({
            "name": name, "email": facts["email"], "hash": facts["hash"], "role": facts["role"],
            "accounts": accounts, "locked": False, "credential": made_id, "sessions": [],
            "tokens": [], "keys": [], "factor": False, "last_step": 0, "code": None,
            "arms": [],
        })  # fmt: skip
        return ""

    def taken(self, accounts, operator):
        owned = [a for user in self.users for a in user["accounts"]]
        return any(
            a in ("operator", "gate", "fees", "rounding")
            or (not operator and (a in owned or a in self.used_accounts))
            for a in accounts
        )

    def reset(self, user, facts, now_ns, made_id):
        code = user["code"] if user else None
        if code is None:
            return "CODE_INVALID"
        if code["hash"] == facts["code"] and now_ns < code["ends_ns"]:
            self.password(user, facts["hash"], made_id)
            return ""
        code["guesses"] += 1
        if code["guesses"] == 5 or now_ns >= code["ends_ns"]:
            user["code"] = None
        return "CODE_INVALID"

    def password(self, user, hash_, made_id):
        user["hash"], user["credential"], user["code"] = hash_, made_id, None
        user["sessions"] = []

    def renew_hash(self, user, facts, _now_ns, _made_id, _operator):
        if facts["credential"] != user["credential"]:
            return "CREDENTIALS_INVALID"
        user["hash"] = facts["hash"]
        return ""

    def change_password(self, user, facts, _now_ns, made_id, _operator):
        if facts["credential"] != user["credential"]:
            return "CREDENTIALS_INVALID"
        self.password(user, facts["hash"], made_id)
        return ""

    def issue_code(self, user, facts, now_ns, _made_id, _operator):
        if int(facts["ends_ns"]) <= now_ns:
            return "COMMAND_INVALID"
        user["code"] = {"hash": facts["code"], "ends_ns": int(facts["ends_ns"]), "guesses": 0}
        return ""

    def set_role(self, user, facts, _now_ns, _made_id, _operator):
        user["role"] = facts["role"]
        return ""

    def set_user_accounts(self, user, facts, _now_ns, _made_id, operator):
        accounts = [a for a in facts["accounts"].split(",") if a]
        if self.taken(accounts, operator):
            return "ACCOUNT_TAKEN"
        user["accounts"] = accounts
        return ""

    def lock_user(self, user, _facts, _now_ns, _made_id, _operator):
        user["locked"], user["sessions"], user["code"] = True, [], None
        return ""

    def unlock_user(self, user, _facts, _now_ns, _made_id, _operator):
        user["locked"] = False
        return ""

    def change_user(self, user, facts, now_ns, made_id, operator):
        """Each part by itself on a copy, which takes the user's place if none is refused."""
        copy = {**user}
        parts = [
            ("role", self.set_role),
            ("accounts", self.set_user_accounts),
            ("locked", self.lock_user if facts.get("locked") == "yes" else self.unlock_user),
        ]
        reasons = [
            do(copy, facts, now_ns, made_id, operator) for name, do in parts if name in facts
        ]
        if any(reasons):
            return "ACCOUNT_TAKEN"
        user.update(copy)
        return ""

    def login(self, user, facts, now_ns, made_id, _operator):
        if facts["credential"] != user["credential"]:
            return "CREDENTIALS_INVALID"
        if int(facts["ends_ns"]) <= now_ns:
            return "COMMAND_INVALID"
        if user["factor"]:
            if "step" not in facts:
                return "SECOND_FACTOR_REQUIRED"
            if int(facts["step"]) <= user["last_step"]:
                return "CODE_INVALID"
            user["last_step"] = int(facts["step"])
        user["sessions"] = [s for s in user["sessions"] if s["ends_ns"] > now_ns]
        user["sessions"].append({"family": made_id, "ends_ns": int(facts["ends_ns"])})
        while len(user["sessions"]) > 10:
            del user["sessions"][0]
        user["tokens"].append({"family": made_id, "generation": 1, "exchanged_ns": None})
        return ""

    def refresh(self, user, facts, now_ns, _made_id, _operator):
        family = facts["family"]
        session = next((s for s in user["sessions"] if s["family"] == family), None)
        token = self.token(user, family, int(facts["generation"]))
        good = session is not None and token is not None and now_ns < session["ends_ns"]
        if good and token["exchanged_ns"] is None:
            token["exchanged_ns"] = now_ns
            user["tokens"].append(
                {"family": family, "generation": token["generation"] + 1, "exchanged_ns": None}
            )
            return ""
        if good:
            # It was exchanged for the newest, which nobody has used yet, a moment ago.
            newer = self.token(user, family, token["generation"] + 1)
            if newer["exchanged_ns"] is None and now_ns - token["exchanged_ns"] <= 5 * NANOS:
                return ""
        user["sessions"] = [s for s in user["sessions"] if s["family"] != family]
        return "SESSION_REVOKED"

    def logout(self, user, facts, _now_ns, _made_id, _operator):
        left = [s for s in user["sessions"] if s["family"] != facts["family"]]
        reason = "SESSION_REVOKED" if len(left) == len(user["sessions"]) else ""
        user["sessions"] = left
        return reason

    def logout_all(self, user, _facts, _now_ns, _made_id, _operator):
        user["sessions"] = []
        return ""

    def create_key(self, user, facts, now_ns, made_id, _operator):
        scopes = facts["scopes"].split(",")
        if any(scope not in ROLE_SCOPES[user["role"]] for scope in scopes):
            return "NOT_ALLOWED"
        if len(user["keys"]) == 32:
            return "ACCESS_EXCEEDS_MAXIMUM"
        if facts["ends_ns"] != "0" and int(facts["ends_ns"]) <= now_ns:
            return "COMMAND_INVALID"
        user["keys"].append({"id": made_id, "scopes": scopes})
        return ""

    def arm(self, user, facts, _now_ns, made_id, _operator):
        if facts["account"] not in user["accounts"]:
            return "NOT_ALLOWED"
        if len(user["arms"]) == 32:
            return "ACCESS_EXCEEDS_MAXIMUM"
        user["arms"].append((made_id, facts["account"], facts["scope"], int(facts["grace_s"])))
        return ""

    def disarm(self, user, facts, _now_ns, _made_id, _operator):
        user["arms"] = [arm for arm in user["arms"] if arm[0] != facts["arm"]]
        return ""

    def revoke_key(self, user, facts, _now_ns, _made_id, _operator):
        left = [k for k in user["keys"] if k["id"] != facts["key"]]
        reason = "KEY_UNKNOWN" if len(left) == len(user["keys"]) else ""
        user["keys"] = left
        return reason

    def factor_on(self, user, facts, _now_ns, _made_id, _operator):
        if user["factor"]:
            return "COMMAND_INVALID"
        if int(facts["step"]) <= user["last_step"]:
            return "CODE_INVALID"
        user["factor"], user["last_step"] = True, int(facts["step"])
        return ""

    def factor_off(self, user, facts, _now_ns, _made_id, operator):
        if not user["factor"]:
            return "COMMAND_INVALID"
        if not operator and int(facts.get("step", 0)) <= user["last_step"]:
            return "CODE_INVALID"
        user["factor"], user["last_step"] = False, 0
        return ""
