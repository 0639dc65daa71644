//! Traditional Chinese characters as simplified ones, so that a note says the same in both.
//!
//! One character for one: the traditional forms that notes about health use, each with its
//! simplified form. Where one simplified character stands for several traditional ones they all
//! become it, so nothing has to be guessed; the way back, which would need guessing, is not taken.

use std::borrow::Cow;

/// Traditional characters, in rising order, so that they can be searched.
const TRADITIONAL: &str = "乾亂亞佔併來侖係俠倆倉個們偉側偵偽傑傳債傷傾僅價儀億儘優儲兒內兩冊凈凍凱別剛創劃劇劍劑勁\
     動勝勞勢勻區協卻厭厲參叢吳呂員問啞喚喪單嗎嘔嘗嘩嘯噁噴噸嚥嚨嚴囑國圍園圓圖團執堅堝塊塗墊\
     墮壓壞壯壽夢夾奪奮妝姊姪婦媽嬰孃孫學宮寢實寧審寫寬寶將專尋對導層屬岡島峽巔師帶幫幹幾庫廁\
     廚廠廢廣廳張彈彎彙彥後徑從復徵徹恆恥悶悽惡惱愛態慘慣慮慶憂憊憑憶懇應懶懷懸懼戀戰戲戶拋挾\
     捨掃掛採揀換揮損搖搶摟撐撥撲擁擇擊擋擔據擠擬擴擺擾攝攣攤敗敵數斂斃斷於昇時暈曉曬書會條棄\
     棗棟楊業極榮構槍樂樓標樣樹橋機橫檔檢櫃欄權歐歡歲歷歸殘殺毀氣決沒況洩涼淚淨淺減渦測渾湯溝\
     溫滅滯滲滿漢漲漸潤潰澀濃濕濟濫濾瀉瀝灑灣災為無煉煙煩熱燈燒燙營燭爐爛爭爲爺牆牽犧狀猶獅獎\
     獨獲獻現瑪環瓊產甦畢畫異當疊痙瘋瘍瘡瘧瘺療癆癇癒癢癤癥癬癮癱癲發皺盜盡監盤眾睏睜瞭矇矯硃\
     確碼磚礙礦禍禦禮禿稅種稱穀積穩窩窮竄競筆節範築簡簽籃籤籲粵糧糾紀約紅紋納純紗紙級紛細組結\
     絕絞絡給統絲綁經綜綠維綱網綿緊緒線緣編緩練緻縣縫縮縱總績織繞繩繫繼續纏纖罰罵罷羅義習聖聞\
     聯聰聲職聽聾肅脅脈脛脣脫脹腎腡腦腫腳腸膚膠膩膽膿臉臘臟臨臺與興舉舊艙艦艱艷莊莖萬葉葦蒼蓋\
     蓮蔘蔥蕁蕎薑薦薩藍藝藥蘆蘇蘊蘋蘭蘿處虛號虧蝕蝦蟎蟲蟻蠟蠶蠻衊術衛衝裏補裝裡製複褲襪襯規視\
     親覺覽觀觸訂計訊討訓記訪設許訴診註評詞詢試話該詳誇誌認誘語誠誤說誰課調談請諒論諮諾謀謂謊\
     講謝證識譜譯議護譽讀變讓豐豬貓貝負財貧貨責貴買費貼資賓賠賣質賴賺購贊贏趕趨跡踐踴蹌蹟躍軀\
     車軌軍軟較載輔輕輩輪輸輻轉轟辦辭辯農迴這連進運過遞遠適遲遷選遺還邊邏郵鄉鄰醃醜醫醬釀釋針\
     鈉鈣鉀鉛鉤銀銅銳鋁鋅鋼錄錢錯鍋鍵鎂鎖鎮鏈鏡鐘鐵鑽長門閃閉開閒間閱闆闊關陰陳陸陽隊階際隨險\
     隱隻雖雙雛雜雞離難雲電霧靈靜韌響頁頂項順須預頑頒頓領頭頰頸頹頻顆題額顏願類顧顫飛飢飯飲飼\
     飽餅養餓餘館餵饅馬駐駕騎騙騷驅驗驚驟髒體髖髮鬆鬍鬚鬥鬧鬱魚鮮鯉鯽鰓鱉鳥鴨鵝鹹鹼鹽麥麵麼麽\
     黃黏點黨黴鼴齊齒齡齦齲龍";
/// The simplified form of each, in the same order.
const SIMPLIFIED: &str = "干乱亚占并来仑系侠俩仓个们伟侧侦伪杰传债伤倾仅价仪亿尽优储儿内两册净冻凯别刚创划剧剑剂劲\
     动胜劳势匀区协却厌厉参丛吴吕员问哑唤丧单吗呕尝哗啸恶喷吨咽咙严嘱国围园圆图团执坚埚块涂垫\
     堕压坏壮寿梦夹夺奋妆姐侄妇妈婴娘孙学宫寝实宁审写宽宝将专寻对导层属冈岛峡巅师带帮干几库厕\
     厨厂废广厅张弹弯汇彦后径从复征彻恒耻闷凄恶恼爱态惨惯虑庆忧惫凭忆恳应懒怀悬惧恋战戏户抛挟\
     舍扫挂采拣换挥损摇抢搂撑拨扑拥择击挡担据挤拟扩摆扰摄挛摊败敌数敛毙断于升时晕晓晒书会条弃\
     枣栋杨业极荣构枪乐楼标样树桥机横档检柜栏权欧欢岁历归残杀毁气决没况泄凉泪净浅减涡测浑汤沟\
     温灭滞渗满汉涨渐润溃涩浓湿济滥滤泻沥洒湾灾为无炼烟烦热灯烧烫营烛炉烂争为爷墙牵牺状犹狮奖\
     独获献现玛环琼产苏毕画异当叠痉疯疡疮疟瘘疗痨痫愈痒疖症癣瘾瘫癫发皱盗尽监盘众困睁了蒙矫朱\
     确码砖碍矿祸御礼秃税种称谷积稳窝穷窜竞笔节范筑简签篮签吁粤粮纠纪约红纹纳纯纱纸级纷细组结\
     绝绞络给统丝绑经综绿维纲网绵紧绪线缘编缓练致县缝缩纵总绩织绕绳系继续缠纤罚骂罢罗义习圣闻\
     联聪声职听聋肃胁脉胫唇脱胀肾脶脑肿脚肠肤胶腻胆脓脸腊脏临台与兴举旧舱舰艰艳庄茎万叶苇苍盖\
     莲参葱荨荞姜荐萨蓝艺药芦苏蕴苹兰萝处虚号亏蚀虾螨虫蚁蜡蚕蛮蔑术卫冲里补装里制复裤袜衬规视\
     亲觉览观触订计讯讨训记访设许诉诊注评词询试话该详夸志认诱语诚误说谁课调谈请谅论咨诺谋谓谎\
     讲谢证识谱译议护誉读变让丰猪猫贝负财贫货责贵买费贴资宾赔卖质赖赚购赞赢赶趋迹践踊跄迹跃躯\
     车轨军软较载辅轻辈轮输辐转轰办辞辩农回这连进运过递远适迟迁选遗还边逻邮乡邻腌丑医酱酿释针\
     钠钙钾铅钩银铜锐铝锌钢录钱错锅键镁锁镇链镜钟铁钻长门闪闭开闲间阅板阔关阴陈陆阳队阶际随险\
     隐只虽双雏杂鸡离难云电雾灵静韧响页顶项顺须预顽颁顿领头颊颈颓频颗题额颜愿类顾颤飞饥饭饮饲\
     饱饼养饿余馆喂馒马驻驾骑骗骚驱验惊骤脏体髋发松胡须斗闹郁鱼鲜鲤鲫鳃鳖鸟鸭鹅咸碱盐麦面么么\
     黄粘点党霉鼹齐齿龄龈龋龙";

/// The simplified form of every character, looked up in the two lists above.
#[derive(Debug, Clone)]
pub struct Simplifier {
    forms: Vec<(char, char)>,
}

impl Simplifier {
    /// Reads the lists.
    pub fn new() -> Simplifier {
        Simplifier { forms: TRADITIONAL.chars().zip(SIMPLIFIED.chars()).collect() }
    }

    /// The text with every traditional character that is known as its simplified form.
    pub fn simplify<'a>(&self, text: &'a str) -> Cow<'a, str> {
        // Western text has none: it is looked at and left as it is.
        let form = |character: char| match character < '\u{4e00}' {
            true => None,
            false => {
                self.forms.binary_search_by_key(&character, |form| form.0).ok().map(|at| self.forms[at].1)
            }
        };
        match text.chars().any(|character| form(character).is_some()) {
            false => Cow::Borrowed(text),
            true => text.chars().map(|character| form(character).unwrap_or(character)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_match_and_traditional_characters_rise() {
        assert_eq!(TRADITIONAL.chars().count(), SIMPLIFIED.chars().count());
        let forms = Simplifier::new().forms;
        assert!(forms.windows(2).all(|pair| pair[0].0 < pair[1].0));
        // No form is itself to be simplified.
        assert!(forms.iter().all(|(_, simple)| forms.iter().all(|(traditional, _)| traditional != simple)));
    }

    #[test]
    fn only_traditional_characters_change() {
        let simplifier = Simplifier::new();
        assert_eq!(simplifier.simplify("高血壓應當怎樣治療？"), "高血压应当怎样治疗？");
        for same in ["chest pain", "高血压应当怎样治疗？", "가슴 통증", ""] {
            assert!(matches!(simplifier.simplify(same), Cow::Borrowed(text) if text == same));
        }
    }
}
