import type { MailContent, MailContext, MailLanguage } from '../../contracts/mail.js'

const ONCE = 'The link works once.'
/** Names of second factors for people, by the name of the factor. */
const FACTORS: Readonly<Record<string, string>> = { totp: 'authenticator app' }
/** Login methods other than providers, by name. Mails never contain the name that a user gave to a passkey. */
const METHODS: Readonly<Record<string, string>> = { passkey: 'a passkey' }
/** With this number of recovery codes or fewer, the mail asks for new ones. */
const FEW_CODES = 3

/** Returns a notice about a change of the account, with a link for users who did not make the change. */
function englishNotice (
  { service }: MailContext,
  subject: string,
  sentence: string,
  url: string,
  advice = `Then check your account at ${service}.`
): MailContent {
  return {
    subject,
    paragraphs: [
      sentence,
      'If that was you, there is nothing to do.',
      `If that was not you, set a new password now, which ends all sessions. ${advice}`
    ],
    action: { label: 'Set a new password', url }
  }
}

/** The mails in English. */
export const english: MailLanguage = {
  frame: {
    linkHint: 'If the button does not work, copy this link into your browser:',
    footer: ({ service }) => `You receive this mail because of an action at ${service}.`
  },
  verify: ({ user, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Confirm your e-mail for ${service}`,
    paragraphs: [`There is an account at ${service} with the e-mail ${user.email}. Confirm that this e-mail is yours.`],
    action: { label: 'Confirm e-mail', url },
    notes: [
      `${ONCE} It is valid for ${duration(lifetimeSeconds)}.`,
      `If you did not register at ${service}, ignore this mail and do not use the link.`
    ]
  }),
  register: ({ email, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Complete your registration at ${service}`,
    paragraphs: [`Someone registered at ${service} with the e-mail ${email}. Choose a password to create the account.`],
    action: { label: 'Choose a password', url },
    notes: [
      `${ONCE} It is valid for ${duration(lifetimeSeconds)}.`,
      'If that was not you, ignore this mail. No account is created without the link.'
    ]
  }),
  emailChange: ({ user, newEmail, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Confirm your new e-mail for ${service}`,
    paragraphs: [
      `A change of the e-mail of the account ${user.email} at ${service} to ${newEmail} was requested.`,
      'Confirm this change only if that account is yours.'
    ],
    action: { label: 'Confirm new e-mail', url },
    notes: [
      `${ONCE} It is valid for ${duration(lifetimeSeconds)}.`,
      `If you do not know the account ${user.email}, ignore this mail and do not use the link.`
    ]
  }),
  emailChangeRequested: ({ user, newEmail, url }, context) =>
    englishNotice(
      context,
      `A new e-mail was requested for your account at ${context.service}`,
      `A change of the e-mail of your account ${user.email} at ${context.service} to ${newEmail} was requested. It takes effect when the owner of the new e-mail confirms it.`,
      url
    ),
  emailChanged: ({ user, previousEmail, undoUrl, lifetimeSeconds }, { service, duration }) => ({
    subject: `The e-mail of your account at ${service} has changed`,
    paragraphs: [
      `Your account at ${service} now uses the e-mail ${user.email} instead of ${previousEmail}.`,
      'If that was you, there is nothing to do.',
      undoUrl === null ? `If that was not you, contact ${service}.` : 'If that was not you, undo the change.'
    ],
    ...(undoUrl === null
      ? {}
      : {
          action: { label: 'Undo the change', url: undoUrl },
          notes: [`${ONCE} It is valid for ${duration(lifetimeSeconds)}.`]
        })
  }),
  emailChangeUndone: ({ user, undoneEmail, url }, { service }) => ({
    subject: `Your account at ${service} has its previous e-mail again`,
    paragraphs: [
      `The change of your e-mail to ${undoneEmail} was undone. Your account at ${service} uses ${user.email} again.`,
      'All sessions have ended. Set a new password, because another person may know the old one.',
      'Passkeys, authenticator apps and recovery codes that were added in the seven days before the change or later were deleted.'
    ],
    action: { label: 'Set a new password', url }
  }),
  resetPassword: ({ user, url, lifetimeSeconds }, { service, duration }) => ({
    subject: `Set a new password for ${service}`,
    paragraphs: [`A new password was requested for the account ${user.email} at ${service}.`],
    action: { label: 'Set a new password', url },
    notes: [
      `${ONCE} It is valid for ${duration(lifetimeSeconds)}.`,
      'If that was not you, ignore this mail. Your password stays as it is.'
    ]
  }),
  emailLogin: ({ user, email, code, url, lifetimeSeconds, device, ip }, { service, duration }) => ({
    subject: user === null ? `Create your account at ${service}` : `Log in to ${service}`,
    paragraphs: [
      user === null
        ? `Someone wants to create an account at ${service} with the e-mail ${email}.`
        : `Someone wants to log in to your account ${email} at ${service}.`,
      ...(code === null ? [] : ['Enter the code on the page on which you asked for it. Do not give it to any other person.'])
    ],
    details: [
      ...(code === null ? [] : [['Code', code] as const]),
      ['Device', device ?? 'unknown'],
      ['IP address', ip ?? 'unknown']
    ],
    ...(url === null ? {} : { action: { label: user === null ? 'Create account' : 'Log in', url } }),
    notes: [
      `You can log in with this mail once, within ${duration(lifetimeSeconds)}.`,
      'If that was not you, ignore this mail.'
    ]
  }),
  passwordChanged: ({ user, url }, context) =>
    englishNotice(
      context,
      `Your password for ${context.service} has changed`,
      `The password of your account ${user.email} at ${context.service} has changed.`,
      url
    ),
  accountExists: ({ user, attempt, url, resetUrl }, { service }) => ({
    subject: `You already have an account at ${service}`,
    paragraphs: [
      {
        register: `Someone tried to register at ${service} with the e-mail ${user.email}, but you already have an account.`,
        'email-change': `Another user of ${service} wanted to change to the e-mail ${user.email}, which belongs to your account. The change was refused.`,
        'provider-login': `Someone tried to log in at ${service} through a provider that has not verified the e-mail ${user.email}. You already have an account with this e-mail.`
      }[attempt],
      'If that was you, log in with your account.'
    ],
    action: { label: 'Log in', url },
    notes: [`If you do not know your password, set a new one: ${resetUrl}`, 'If that was not you, there is nothing to do.']
  }),
  newDevice: ({ user, device, ip, time, url }, context) => ({
    ...englishNotice(
      context,
      `New login to your account at ${context.service}`,
      `A device that we do not know logged in to your account ${user.email} at ${context.service}.`,
      url
    ),
    details: [
      ['Time', context.time(time)],
      ['Device', device ?? 'unknown'],
      ['IP address', ip ?? 'unknown']
    ]
  }),
  loginMethodAdded: ({ user, method, url }, context) =>
    englishNotice(
      context,
      `New login method for your account at ${context.service}`,
      `You can now log in to your account ${user.email} at ${context.service} with ${METHODS[method] ?? method}.`,
      url,
      'A new password does not remove this login method: remove it in your account.'
    ),
  loginMethodRemoved: ({ user, method, url }, context) =>
    englishNotice(
      context,
      `A login method was removed from your account at ${context.service}`,
      `You can no longer log in to your account ${user.email} at ${context.service} with ${METHODS[method] ?? method}.`,
      url
    ),
  secondFactorAdded: ({ user, method, url }, context) =>
    englishNotice(
      context,
      `New second factor for your account at ${context.service}`,
      `Logins to your account ${user.email} at ${context.service} now need a second factor: ${FACTORS[method] ?? method}.`,
      url
    ),
  secondFactorRemoved: ({ user, method, url }, context) =>
    englishNotice(
      context,
      `A second factor was removed from your account at ${context.service}`,
      `Your account ${user.email} at ${context.service} no longer uses this second factor: ${FACTORS[method] ?? method}.`,
      url
    ),
  recoveryCodeUsed: ({ user, remaining, url }, context) => ({
    ...englishNotice(
      context,
      `A recovery code was used for your account at ${context.service}`,
      `A recovery code was used instead of the second factor of your account ${user.email} at ${context.service}. It does not work again.`,
      url
    ),
    details: [['Recovery codes left', String(remaining)]],
    notes: remaining > FEW_CODES ? [] : [`You have few recovery codes left. Create new ones at ${context.service}.`]
  }),
  recoveryCodesReplaced: ({ user, url }, context) =>
    englishNotice(
      context,
      `New recovery codes for your account at ${context.service}`,
      `New recovery codes were created for your account ${user.email} at ${context.service}. The former ones no longer work.`,
      url
    ),
  accountDeletionRequested: ({ user, undoUrl, deletesAt }, { service, time }) => ({
    subject: `Your account at ${service} will be deleted`,
    paragraphs: [
      `You asked to delete your account ${user.email} at ${service}. It is deactivated now, and will be deleted after ${time(deletesAt)}.`,
      'If you did not ask for that, or changed your mind, keep the account.'
    ],
    action: { label: 'Keep the account', url: undoUrl },
    notes: ['If you keep the account and did not ask for its deletion, set a new password.']
  }),
  accountDeletionUndone: ({ user, url }, { service }) => ({
    subject: `The deletion of your account at ${service} was undone`,
    paragraphs: [`Your account ${user.email} at ${service} will not be deleted. You can log in again.`],
    action: { label: 'Log in', url }
  }),
  accountDeleted: ({ user, url }, { service }) => ({
    subject: `Your account at ${service} was deleted`,
    paragraphs: [`Your account ${user.email} at ${service} and its data were deleted, as you asked.`],
    action: { label: `Go to ${service}`, url }
  }),
  accountLocked: ({ user, failures, url }, { service }) => ({
    subject: `Logins to your account at ${service} are blocked`,
    paragraphs: [
      `There were ${failures} failed logins in a row to your account ${user.email} at ${service}. Logins with the password are blocked until you set a new one. Devices that are logged in stay logged in.`
    ],
    action: { label: 'Set a new password', url },
    notes: ['If you did not try to log in, another person may be guessing your password. Choose one that you use nowhere else.']
  })
}
