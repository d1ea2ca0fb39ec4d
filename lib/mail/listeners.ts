import type { EventContext, UsersHooks } from '../contracts/events.js'
import type { MailData, MailKind } from '../contracts/mail.js'
import type { Settings } from '../contracts/settings.js'
import type { User } from '../contracts/user.js'
import { isSameEmail } from '../users/index.js'
import { describeDevice, knownIp } from '../shared/device.js'
import type { CreateLink } from './urls.js'

/** Sends a mail to an e-mail that is stored or that the plugin has checked, after the reply. */
export type PostMail = <K extends MailKind>(
  kind: K,
  to: { email: string; user: User | null },
  data: MailData[K],
  context: EventContext
) => void

/** The services that the listeners need. */
export interface ListenerParts {
  readonly settings: Pick<Settings, 'clock' | 'tokens'>
  readonly link: CreateLink
  readonly post: PostMail
  /** Creates a verify token for an unverified user, after the reply; null if the application does it. */
  readonly requestVerification: ((user: User, context: EventContext) => void) | null
}

/** Returns the listeners of all events that cause a mail. */
export function createMailListeners (parts: ListenerParts): UsersHooks {
  return {
    ...tokenListeners(parts),
    ...emailChangeListeners(parts),
    ...passwordListeners(parts),
    ...loginListeners(parts),
    ...recoveryCodeListeners(parts),
    ...accountListeners(parts)
  }
}

/** Mails whose link contains a token. */
function tokenListeners ({ settings: { tokens }, link, post, requestVerification }: ListenerParts): UsersHooks {
  return {
    onAfterRegister ({ user }, context) {
      if (context.request !== null && !user.is_verified) requestVerification?.(user, context)
    },
    onAfterRequestRegister ({ email, token }, context) {
      const { lifetimeSeconds } = tokens.register
      post('register', { email, user: null }, { email, url: link('register', token), lifetimeSeconds }, context)
    },
    onAfterRequestVerify ({ user, email, token }, context) {
      const { lifetimeSeconds } = tokens.verify
      if (isSameEmail(email, user.email)) {
        post('verify', { email, user }, { user, url: link('verify', token), lifetimeSeconds }, context)
      } else {
        const url = link('emailChange', token)
        post('emailChange', { email, user }, { user, newEmail: email, url, lifetimeSeconds }, context)
      }
    },
    onAfterRequestEmailLogin ({ token, ip, userAgent, ...request }, context) {
      const url = token === null ? null : link('emailLogin', token)
      post('emailLogin', request, { ...request, url, device: describeDevice(userAgent), ip: knownIp(ip) }, context)
    },
    onAfterForgotPassword ({ user, token }, context) {
      const { lifetimeSeconds } = tokens.reset
      const url = link('resetPassword', token)
      post('resetPassword', { email: user.email, user }, { user, url, lifetimeSeconds }, context)
    }
  }
}

function emailChangeListeners ({ settings: { tokens }, link, post, requestVerification }: ListenerParts): UsersHooks {
  return {
    onAfterRequestEmailChange ({ user, newEmail }, context) {
      const url = link('forgotPassword')
      post('emailChangeRequested', { email: user.email, user }, { user, newEmail, url }, context)
    },
    onAfterEmailChange ({ user, previousEmail, token }, context) {
      const undoUrl = token === null ? null : link('undoEmailChange', token)
      const data = { user, previousEmail, undoUrl, lifetimeSeconds: tokens.undo?.lifetimeSeconds ?? 0 }
      post('emailChanged', { email: previousEmail, user }, data, context)
      if (context.request !== null && !user.is_verified) requestVerification?.(user, context)
    },
    onAfterUndoEmailChange ({ user, undoneEmail }, context) {
      const url = link('forgotPassword')
      post('emailChangeUndone', { email: user.email, user }, { user, undoneEmail, url }, context)
    }
  }
}

function passwordListeners ({ link, post }: ListenerParts): UsersHooks {
  const reportChange = (user: User, context: EventContext): void => {
    post('passwordChanged', { email: user.email, user }, { user, url: link('forgotPassword') }, context)
  }
  return {
    onAfterResetPassword ({ user }, context) {
      reportChange(user, context)
    },
    onAfterUpdate ({ user, changes }, context) {
      if (typeof changes.password === 'string') reportChange(user, context)
    }
  }
}

function loginListeners ({ settings, link, post }: ListenerParts): UsersHooks {
  return {
    onRegisterExisting ({ user, attempt }, context) {
      const data = { user, attempt, url: link('login'), resetUrl: link('forgotPassword') }
      post('accountExists', { email: user.email, user }, data, context)
    },
    onNewDevice ({ user, ip, userAgent }, context) {
      const data = {
        user,
        device: describeDevice(userAgent),
        ip: knownIp(ip),
        time: new Date(settings.clock()),
        url: link('forgotPassword')
      }
      post('newDevice', { email: user.email, user }, data, context)
    },
    onAccountLocked ({ user, failures }, context) {
      post('accountLocked', { email: user.email, user }, { user, failures, url: link('forgotPassword') }, context)
    },
    onLoginMethodAdded ({ user, kind, method }, context) {
      const data = { user, method, url: link('forgotPassword') }
      post(kind === 'second-factor' ? 'secondFactorAdded' : 'loginMethodAdded', { email: user.email, user }, data, context)
    },
    onLoginMethodRemoved ({ user, kind, method }, context) {
      const data = { user, method, url: link('forgotPassword') }
      post(kind === 'second-factor' ? 'secondFactorRemoved' : 'loginMethodRemoved', { email: user.email, user }, data, context)
    }
  }
}

function recoveryCodeListeners ({ link, post }: ListenerParts): UsersHooks {
  return {
    onAfterUseRecoveryCode ({ user, remaining }, context) {
      const data = { user, remaining, url: link('forgotPassword') }
      post('recoveryCodeUsed', { email: user.email, user }, data, context)
    },
    onAfterCreateRecoveryCodes ({ user, isReplacement }, context) {
      if (!isReplacement) return // the mail about the new second factor reports the change
      post('recoveryCodesReplaced', { email: user.email, user }, { user, url: link('forgotPassword') }, context)
    }
  }
}

function accountListeners ({ link, post }: ListenerParts): UsersHooks {
  return {
    onAfterRequestDeletion ({ user, token, deletesAt }, context) {
      const undoUrl = link('undoDeletion', token)
      post('accountDeletionRequested', { email: user.email, user }, { user, undoUrl, deletesAt }, context)
    },
    onAfterUndoDeletion ({ user }, context) {
      post('accountDeletionUndone', { email: user.email, user }, { user, url: link('login') }, context)
    },
    onAfterDeleteAccount ({ user }, context) {
      post('accountDeleted', { email: user.email, user }, { user, url: link('login') }, context)
    }
  }
}
