import type { MailContent, MailContext, MailLanguage } from '../../contracts/mail.js'

const ONCE = 'Der Link funktioniert einmal.'
/** Names of second factors for people, by the name of the factor. */
const FACTORS: Readonly<Record<string, string>> = { totp: 'Authenticator-App' }
/** Login methods other than providers, by name. Mails never contain the name that a user gave to a passkey. */
const METHODS: Readonly<Record<string, string>> = { passkey: 'einem Passkey' }
/** With this number of recovery codes or fewer, the mail asks for new ones. */
const FEW_CODES = 3

/** Returns a notice about a change of the account, with a link for users who did not make the change. */
function germanNotice (
  { service }: MailContext,
  subject: string,
  sentence: string,
  url: string,
  advice = `Prüfen Sie danach Ihr Konto bei ${service}.`
): MailContent {
  return {
    subject,
    paragraphs: [
      sentence,
      'Wenn Sie das waren, müssen Sie nichts tun.',
      `Wenn Sie das nicht waren, setzen Sie jetzt ein neues Passwort. Das beendet alle Sitzungen. ${advice}`
    ],
    action: { label: 'Neues Passwort setzen', url }
  }
}

/** The mails in German. */
export const german: MailLanguage = {
  frame: {
    linkHint: 'Wenn die Schaltfläche nicht funktioniert, kopieren Sie diesen Link in Ihren Browser:',
    footer: ({ service }) => `Sie erhalten diese Mail wegen eines Vorgangs bei ${service}.`
  },
  verify: ({ user, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Bestätigen Sie Ihre E-Mail-Adresse für ${service}`,
    paragraphs: [
      `Bei ${service} gibt es ein Konto mit der E-Mail-Adresse ${user.email}. Bestätigen Sie, dass diese Adresse Ihnen gehört.`
    ],
    action: { label: 'E-Mail-Adresse bestätigen', url },
    notes: [
      `${ONCE} Gültigkeit: ${duration(lifetimeSeconds)}.`,
      `Wenn Sie sich nicht bei ${service} registriert haben, ignorieren Sie diese Mail und benutzen Sie den Link nicht.`
    ]
  }),
  register: ({ email, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Schließen Sie Ihre Registrierung bei ${service} ab`,
    paragraphs: [
      `Jemand hat sich bei ${service} mit der E-Mail-Adresse ${email} registriert. Wählen Sie ein Passwort, um das Konto anzulegen.`
    ],
    action: { label: 'Passwort wählen', url },
    notes: [
      `${ONCE} Gültigkeit: ${duration(lifetimeSeconds)}.`,
      'Wenn Sie das nicht waren, ignorieren Sie diese Mail. Ohne den Link entsteht kein Konto.'
    ]
  }),
  emailChange: ({ user, newEmail, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Bestätigen Sie Ihre neue E-Mail-Adresse für ${service}`,
    paragraphs: [
      `Das Konto ${user.email} bei ${service} soll künftig die E-Mail-Adresse ${newEmail} benutzen.`,
      'Bestätigen Sie diese Änderung nur, wenn das Konto Ihnen gehört.'
    ],
    action: { label: 'Neue Adresse bestätigen', url },
    notes: [
      `${ONCE} Gültigkeit: ${duration(lifetimeSeconds)}.`,
      `Wenn Sie das Konto ${user.email} nicht kennen, ignorieren Sie diese Mail und benutzen Sie den Link nicht.`
    ]
  }),
  emailChangeRequested: ({ user, newEmail, url }, context) =>
    germanNotice(
      context,
      `Für Ihr Konto bei ${context.service} wurde eine neue E-Mail-Adresse beantragt`,
      `Ihr Konto ${user.email} bei ${context.service} soll die E-Mail-Adresse ${newEmail} benutzen. Die Änderung gilt, sobald sie von der neuen Adresse aus bestätigt wird.`,
      url
    ),
  emailChanged: ({ user, previousEmail, undoUrl, lifetimeSeconds }, { service, duration }) => ({
    subject: `Die E-Mail-Adresse Ihres Kontos bei ${service} wurde geändert`,
    paragraphs: [
      `Ihr Konto bei ${service} benutzt jetzt die E-Mail-Adresse ${user.email} statt ${previousEmail}.`,
      'Wenn Sie das waren, müssen Sie nichts tun.',
      undoUrl === null
        ? `Wenn Sie das nicht waren, wenden Sie sich an ${service}.`
        : 'Wenn Sie das nicht waren, machen Sie die Änderung rückgängig.'
    ],
    ...(undoUrl === null
      ? {}
      : {
          action: { label: 'Änderung rückgängig machen', url: undoUrl },
          notes: [`${ONCE} Gültigkeit: ${duration(lifetimeSeconds)}.`]
        })
  }),
  emailChangeUndone: ({ user, undoneEmail, url }, { service }) => ({
    subject: `Ihr Konto bei ${service} hat wieder seine vorherige E-Mail-Adresse`,
    paragraphs: [
      `Die Änderung Ihrer E-Mail-Adresse zu ${undoneEmail} wurde rückgängig gemacht. Ihr Konto bei ${service} benutzt wieder ${user.email}.`,
      'Alle Sitzungen sind beendet. Setzen Sie ein neues Passwort, denn vielleicht kennt eine andere Person das alte.',
      'Passkeys, Authenticator-Apps und Wiederherstellungscodes, die in den sieben Tagen vor der Änderung oder danach hinzugefügt wurden, sind gelöscht.'
    ],
    action: { label: 'Neues Passwort setzen', url }
  }),
  resetPassword: ({ user, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Setzen Sie ein neues Passwort für ${service}`,
    paragraphs: [`Für das Konto ${user.email} bei ${service} wurde ein neues Passwort angefordert.`],
    action: { label: 'Neues Passwort setzen', url },
    notes: [
      `${ONCE} Gültigkeit: ${duration(lifetimeSeconds)}.`,
      'Wenn Sie das nicht waren, ignorieren Sie diese Mail. Ihr Passwort bleibt unverändert.'
    ]
  }),
  emailLogin: ({ user, email, code, url, lifetimeSeconds, device, ip }, { service, duration }) => ({
    subject: user === null ? `Legen Sie Ihr Konto bei ${service} an` : `Melden Sie sich bei ${service} an`,
    paragraphs: [
      user === null
        ? `Jemand möchte bei ${service} ein Konto mit der E-Mail-Adresse ${email} anlegen.`
        : `Jemand möchte sich bei Ihrem Konto ${email} bei ${service} anmelden.`,
      ...(code === null
        ? []
        : ['Geben Sie den Code auf der Seite ein, auf der Sie ihn angefordert haben. Geben Sie ihn an niemanden weiter.'])
    ],
    details: [
      ...(code === null ? [] : [['Code', code] as const]),
      ['Gerät', device ?? 'unbekannt'],
      ['IP-Adresse', ip ?? 'unbekannt']
    ],
    ...(url === null ? {} : { action: { label: user === null ? 'Konto anlegen' : 'Anmelden', url } }),
    notes: [
      `Mit dieser Mail können Sie sich einmal anmelden. Gültigkeit: ${duration(lifetimeSeconds)}.`,
      'Wenn Sie das nicht waren, ignorieren Sie diese Mail.'
    ]
  }),
  passwordChanged: ({ user, url }, context) =>
    germanNotice(
      context,
      `Ihr Passwort für ${context.service} wurde geändert`,
      `Das Passwort Ihres Kontos ${user.email} bei ${context.service} wurde geändert.`,
      url
    ),
  accountExists: ({ user, attempt, url, resetUrl }, { service }) => ({
    subject: `Sie haben bereits ein Konto bei ${service}`,
    paragraphs: [
      {
        register: `Jemand wollte sich bei ${service} mit der E-Mail-Adresse ${user.email} registrieren, aber Sie haben bereits ein Konto.`,
        'email-change': `Ein anderer Benutzer von ${service} wollte die E-Mail-Adresse ${user.email} benutzen, die zu Ihrem Konto gehört. Die Änderung wurde abgelehnt.`,
        'provider-login': `Jemand wollte sich bei ${service} über einen Anbieter anmelden, der die E-Mail-Adresse ${user.email} nicht geprüft hat. Sie haben bereits ein Konto mit dieser Adresse.`
      }[attempt],
      'Wenn Sie das waren, melden Sie sich mit Ihrem Konto an.'
    ],
    action: { label: 'Anmelden', url },
    notes: [
      `Wenn Sie Ihr Passwort nicht kennen, setzen Sie ein neues: ${resetUrl}`,
      'Wenn Sie das nicht waren, müssen Sie nichts tun.'
    ]
  }),
  newDevice: ({ user, device, ip, time, url }, context) => ({
    ...germanNotice(
      context,
      `Neue Anmeldung bei Ihrem Konto bei ${context.service}`,
      `Ein unbekanntes Gerät hat sich bei Ihrem Konto ${user.email} bei ${context.service} angemeldet.`,
      url
    ),
    details: [
      ['Zeit', context.time(time)],
      ['Gerät', device ?? 'unbekannt'],
      ['IP-Adresse', ip ?? 'unbekannt']
    ]
  }),
  loginMethodAdded: ({ user, method, url }, context) =>
    germanNotice(
      context,
      `Neue Anmeldemethode für Ihr Konto bei ${context.service}`,
      `Bei Ihrem Konto ${user.email} bei ${context.service} können Sie sich jetzt mit ${METHODS[method] ?? method} anmelden.`,
      url,
      'Ein neues Passwort entfernt diese Anmeldemethode nicht: Entfernen Sie sie in Ihrem Konto.'
    ),
  loginMethodRemoved: ({ user, method, url }, context) =>
    germanNotice(
      context,
      `Eine Anmeldemethode Ihres Kontos bei ${context.service} wurde entfernt`,
      `Bei Ihrem Konto ${user.email} bei ${context.service} können Sie sich nicht mehr mit ${METHODS[method] ?? method} anmelden.`,
      url
    ),
  secondFactorAdded: ({ user, method, url }, context) =>
    germanNotice(
      context,
      `Neuer zweiter Faktor für Ihr Konto bei ${context.service}`,
      `Anmeldungen bei Ihrem Konto ${user.email} bei ${context.service} brauchen jetzt einen zweiten Faktor: ${FACTORS[method] ?? method}.`,
      url
    ),
  secondFactorRemoved: ({ user, method, url }, context) =>
    germanNotice(
      context,
      `Ein zweiter Faktor Ihres Kontos bei ${context.service} wurde entfernt`,
      `Ihr Konto ${user.email} bei ${context.service} benutzt diesen zweiten Faktor nicht mehr: ${FACTORS[method] ?? method}.`,
      url
    ),
  recoveryCodeUsed: ({ user, remaining, url }, context) => ({
    ...germanNotice(
      context,
      `Ein Wiederherstellungscode Ihres Kontos bei ${context.service} wurde benutzt`,
      `Statt des zweiten Faktors Ihres Kontos ${user.email} bei ${context.service} wurde ein Wiederherstellungscode benutzt. Er funktioniert nicht noch einmal.`,
      url
    ),
    details: [['Übrige Wiederherstellungscodes', String(remaining)]],
    notes: remaining > FEW_CODES ? [] : [`Sie haben nur noch wenige Wiederherstellungscodes. Erzeugen Sie neue bei ${context.service}.`]
  }),
  recoveryCodesReplaced: ({ user, url }, context) =>
    germanNotice(
      context,
      `Neue Wiederherstellungscodes für Ihr Konto bei ${context.service}`,
      `Für Ihr Konto ${user.email} bei ${context.service} wurden neue Wiederherstellungscodes erzeugt. Die bisherigen gelten nicht mehr.`,
      url
    ),
  accountDeletionRequested: ({ user, undoUrl, deletesAt }, { service, time }) => ({
    subject: `Ihr Konto bei ${service} wird gelöscht`,
    paragraphs: [
      `Sie wollten Ihr Konto ${user.email} bei ${service} löschen. Es ist jetzt deaktiviert und wird nach ${time(deletesAt)} gelöscht.`,
      'Wenn Sie das nicht wollten oder es sich anders überlegt haben, behalten Sie das Konto.'
    ],
    action: { label: 'Konto behalten', url: undoUrl },
    notes: ['Wenn Sie das Konto behalten und die Löschung nicht verlangt haben, setzen Sie ein neues Passwort.']
  }),
  accountDeletionUndone: ({ user, url }, { service }) => ({
    subject: `Die Löschung Ihres Kontos bei ${service} wurde rückgängig gemacht`,
    paragraphs: [`Ihr Konto ${user.email} bei ${service} wird nicht gelöscht. Sie können sich wieder anmelden.`],
    action: { label: 'Anmelden', url }
  }),
  accountDeleted: ({ user, url }, { service }) => ({
    subject: `Ihr Konto bei ${service} wurde gelöscht`,
    paragraphs: [`Ihr Konto ${user.email} bei ${service} und seine Daten wurden gelöscht, wie Sie es verlangt haben.`],
    action: { label: `Zu ${service}`, url }
  }),
  accountLocked: ({ user, failures, url }, { service }) => ({
    subject: `Anmeldungen bei Ihrem Konto bei ${service} sind gesperrt`,
    paragraphs: [
      `Bei Ihrem Konto ${user.email} bei ${service} sind ${failures} Anmeldungen nacheinander fehlgeschlagen. Anmeldungen mit dem Passwort sind gesperrt, bis Sie ein neues setzen. Angemeldete Geräte bleiben angemeldet.`
    ],
    action: { label: 'Neues Passwort setzen', url },
    notes: [
      'Wenn Sie nicht versucht haben, sich anzumelden, versucht vielleicht eine andere Person, Ihr Passwort zu erraten. Wählen Sie ein Passwort, das Sie nirgends sonst benutzen.'
    ]
  })
}
